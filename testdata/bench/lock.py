"""Runs a command under kazoo's Lock, as the shortest program that somebody would
write: lock.py SERVERS PATH SESSION_MS CMD [ARG...]"""
import subprocess
import sys

from kazoo.client import KazooClient

servers, path, session_ms = sys.argv[1:4]
client = KazooClient(servers, timeout=int(session_ms) / 1000)
client.start()
with client.Lock(path):
    code = subprocess.call(sys.argv[4:])
client.stop()
sys.exit(code)
