"""Topics: listens to the keys that match some patterns. Usage: topics_receive.py KEY..."""

import sys

from broker import connect, say


def on_message(_channel, method, _properties, body):
    say(f"received: {method.routing_key}: {body.decode()}")


channel = connect().channel()
channel.exchange_declare("py-topic-logs", "topic")
queue = channel.queue_declare("", exclusive=True).method.queue
for key in sys.argv[1:]:
    channel.queue_bind(queue, "py-topic-logs", key)
channel.basic_consume(queue, on_message, auto_ack=True)
say("waiting")
channel.start_consuming()
