"""What every program of this folder shares: where the broker is, and how to stop."""

import os
import signal
import sys

import pika

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def connect():
    """Connects to the broker that AMQP_URL names."""
    url = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")
    return pika.BlockingConnection(pika.URLParameters(url))


def say(line):
    print(line, flush=True)
