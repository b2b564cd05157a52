"""Topics: a log line with a dotted key. Usage: topics_emit.py KEY TEXT"""

import sys

from broker import connect, say

key, *words = sys.argv[1:]
connection = connect()
channel = connection.channel()
channel.exchange_declare("py-topic-logs", "topic")
channel.basic_publish("py-topic-logs", key, " ".join(words).encode())
say(f"sent: {key}")
connection.close()
