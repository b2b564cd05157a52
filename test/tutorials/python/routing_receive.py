"""Routing: listens to some severities. Usage: routing_receive.py KEY..."""

import sys

from broker import connect, say


def on_message(_channel, method, _properties, body):
    say(f"received: {method.routing_key}: {body.decode()}")


channel = connect().channel()
channel.exchange_declare("py-direct-logs", "direct")
queue = channel.queue_declare("", exclusive=True).method.queue
for key in sys.argv[1:]:
    channel.queue_bind(queue, "py-direct-logs", key)
channel.basic_consume(queue, on_message, auto_ack=True)
say("waiting")
channel.start_consuming()
