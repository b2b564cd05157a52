"""Publish/subscribe: a log line for everybody who listens."""

import sys

from broker import connect, say

line = " ".join(sys.argv[1:]) or "a log line"
connection = connect()
channel = connection.channel()
channel.exchange_declare("py-logs", "fanout")
channel.basic_publish("py-logs", "", line.encode())
say(f"sent: {line}")
connection.close()
