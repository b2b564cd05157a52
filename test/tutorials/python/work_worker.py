"""Work queues: takes one task at a time and acknowledges it when it is done."""

import os
import time

from broker import connect, say

SECONDS_PER_DOT = 0.02


def on_task(channel, method, _properties, body):
    task = body.decode()
    say(f"working: {task}")
    if task == "crash":
        os._exit(1)
    time.sleep(task.count(".") * SECONDS_PER_DOT)
    say(f"done: {task}")
    channel.basic_ack(method.delivery_tag)


channel = connect().channel()
channel.queue_declare("py-tasks", durable=True)
channel.basic_qos(prefetch_count=1)
channel.basic_consume("py-tasks", on_task)
say("waiting")
channel.start_consuming()
