"""What the programs on kazoo have in common.

Started as FILE SERVERS PATH ID SESSION_MS STAMPS, each stands in one election,
tells on standard output what becomes of it, and takes commands from standard
input, with one line that begins with "= " for each answer:

    release       give leadership up as users of the recipe do, and queue again
    participants  who stands in the queue, in its order, as the recipe tells it

At the end of its input it exits, without a farewell.
"""
import logging
import os
import sys
import threading
import time

from kazoo.client import KazooClient, KazooState


def say(line):
    print(line, flush=True)


class Stamps:
    """The signs of life of a leader: a file for each time of leadership, with
    the times of the first and the last of them, in the format that the tests'
    own commands write."""

    def __init__(self, folder, ident):
        self.folder, self.ident = folder, ident
        self.file, self.first = None, 0
        self.changed = threading.Condition()
        threading.Thread(target=self._beat, daemon=True).start()

    @staticmethod
    def _now():
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def begin(self):
        with self.changed:
            self.first = self._now()
            name = "%d-%d" % (self.first, os.getpid())
            made = os.path.join(self.folder, "new-" + name)
            self.file = os.open(made, os.O_CREAT | os.O_WRONLY, 0o666)
            self._stamp()
            # Whoever sees the file sees a stamp in it.
            os.rename(made, os.path.join(self.folder, "term-" + name))
            self.changed.notify()

    def end(self):
        with self.changed:
            if self.file is not None:
                self._stamp()
                os.close(self.file)
                self.file = None

    def _beat(self):
        with self.changed:
            while True:
                if self.file is None:
                    self.changed.wait()
                else:
                    self._stamp()
                    self.changed.wait(0.002)

    def _stamp(self):
        line = "%020d %020d %020d %07d %s\n" % (self.first, self._now(), 0, os.getpid(), self.ident)
        os.pwrite(self.file, line.encode(), 0)


class Program:
    """Stands in one election. The recipe is in join, which calls lead."""

    def __init__(self):
        servers, self.path, self.ident, session_ms, folder = sys.argv[1:]
        logging.basicConfig(level=logging.WARNING)
        self.stamps = Stamps(folder, self.ident)
        self.released = threading.Semaphore(0)
        self.client = KazooClient(servers, timeout=int(session_ms) / 1000)
        self.client.add_listener(self._listen)
        self.client.start()

    def _listen(self, state):
        say("connection " + state)
        # A program that may have lost leadership has to stop working, whatever
        # the recipe does about it.
        if state != KazooState.CONNECTED:
            self.stamps.end()

    def lead(self):
        while self.released.acquire(blocking=False):
            pass
        self.stamps.begin()
        say("leading")
        self.released.acquire()
        self.stamps.end()
        say("released")

    def serve(self, join, contenders):
        def forever():
            try:
                while True:
                    join()
            except BaseException:
                logging.exception("no longer in the queue")
                os._exit(1)

        threading.Thread(target=forever, daemon=True).start()
        for line in sys.stdin:
            command = line.strip()
            if command == "release":
                self.released.release()
                say("= ")
            elif command == "participants":
                say("= " + " ".join(contenders()))
            else:
                say("= error unknown command " + command)
        os._exit(0)
