"""Work queues: hands out one task; every dot in its text stands for some work."""

import sys

import pika
from broker import connect, say

task = " ".join(sys.argv[1:]) or "task."
connection = connect()
channel = connection.channel()
channel.queue_declare("py-tasks", durable=True)
persistent = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
channel.basic_publish("", "py-tasks", task.encode(), persistent)
say(f"sent: {task}")
connection.close()
