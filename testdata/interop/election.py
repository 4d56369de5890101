"""A participant by kazoo's Election."""
from program import Program

program = Program()
election = program.client.Election(program.path, program.ident)
program.serve(lambda: election.run(program.lead), election.contenders)
