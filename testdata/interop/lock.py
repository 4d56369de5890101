"""A participant by kazoo's Lock."""
from program import Program

program = Program()
lock = program.client.Lock(program.path, program.ident)


def hold():
    with lock:
        program.lead()


program.serve(hold, lock.contenders)
