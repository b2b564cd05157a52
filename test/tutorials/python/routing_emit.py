"""Routing: a log line with a severity. Usage: routing_emit.py KEY TEXT"""

import sys

from broker import connect, say

key, *words = sys.argv[1:]
connection = connect()
channel = connection.channel()
channel.exchange_declare("py-direct-logs", "direct")
channel.basic_publish("py-direct-logs", key, " ".join(words).encode())
say(f"sent: {key}")
connection.close()
