"""Runs every program of this folder as a user would and checks what it prints."""

import os
import pathlib
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).parent
TIMEOUT = 20


class Program:
    """A running program and the lines that it has printed."""

    def __init__(self, name, *args):
        self.name = name
        self.lines = []
        self.child = subprocess.Popen(
            [sys.executable, str(HERE / f"{name}.py"), *args],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.child.stdout:
            self.lines.append(line.rstrip("\n"))

    def prints(self, line):
        deadline = time.monotonic() + TIMEOUT
        while line not in self.lines:
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} did not print {line!r}, but {self.lines}")
            time.sleep(0.01)

    def done(self):
        code = self.child.wait(TIMEOUT)
        self.reader.join(TIMEOUT)
        assert code == 0, f"{self.name} ended with {code}"
        return self.lines

    def stop(self):
        self.child.terminate()
        self.child.wait(TIMEOUT)


running = []


def listen(name, *args):
    program = Program(name, *args)
    running.append(program)
    program.prints("waiting")
    return program


def hello_world():
    Program("hello_send").done()
    listen("hello_receive").prints("received: Hello World!")


def work_queues():
    crashing = Program("work_worker")
    crashing.prints("waiting")
    Program("work_new_task", "crash").done()
    assert crashing.child.wait(TIMEOUT) == 1
    second = Program("work_worker")
    second.prints("working: crash")
    assert second.child.wait(TIMEOUT) == 1
    delete_all()
    workers = [listen("work_worker"), listen("work_worker")]
    tasks = ["first..", "second..", "third..", "fourth.."]
    for task in tasks:
        Program("work_new_task", task).done()
    for task in tasks:
        deadline = time.monotonic() + TIMEOUT
        while not any(f"done: {task}" in worker.lines for worker in workers):
            assert time.monotonic() < deadline, f"{task} was not done"
            time.sleep(0.01)


def publish_subscribe():
    listeners = [listen("logs_receive"), listen("logs_receive")]
    Program("logs_emit", "to all").done()
    for listener in listeners:
        listener.prints("received: to all")


def routing():
    errors = listen("routing_receive", "error")
    both = listen("routing_receive", "info", "error")
    Program("routing_emit", "info", "fine").done()
    Program("routing_emit", "error", "broken").done()
    errors.prints("received: error: broken")
    both.prints("received: error: broken")
    assert errors.lines == ["waiting", "received: error: broken"], errors.lines
    assert both.lines == ["waiting", "received: info: fine", "received: error: broken"]


def topics():
    kernel = listen("topics_receive", "kern.*")
    everything = listen("topics_receive", "#")
    Program("topics_emit", "kern.info", "a").done()
    Program("topics_emit", "cron.daily.late", "b").done()
    everything.prints("received: cron.daily.late: b")
    kernel.prints("received: kern.info: a")
    assert len(kernel.lines) == 2, kernel.lines


def rpc():
    listen("rpc_server")
    assert Program("rpc_client", "30").done() == ["answer: 832040"]


def publisher_confirms():
    assert Program("publisher_confirms").done() == ["one by one: 200 confirmed", "returned: 1"]


def delete_all():
    from broker import connect

    connection = connect()
    channel = connection.channel()
    for queue in ("py-hello", "py-tasks", "py-rpc"):
        channel.queue_delete(queue)
    for exchange in ("py-logs", "py-direct-logs", "py-topic-logs"):
        channel.exchange_delete(exchange)
    connection.close()


def main():
    for tutorial in (
        hello_world,
        work_queues,
        publish_subscribe,
        routing,
        topics,
        rpc,
        publisher_confirms,
    ):
        delete_all()
        try:
            tutorial()
        finally:
            while running:
                running.pop().stop()
        print(f"ok: {tutorial.__name__.replace('_', ' ')}", flush=True)
    delete_all()


if __name__ == "__main__":
    main()
