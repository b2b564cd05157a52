"""RPC: asks for one Fibonacci number and waits for the answer in a queue of its own."""

import sys
import uuid

import pika
from broker import connect, say

connection = connect()
channel = connection.channel()
queue = channel.queue_declare("", exclusive=True).method.queue
question = str(uuid.uuid4())
answers = []


def on_answer(_channel, _method, properties, body):
    if properties.correlation_id == question:
        answers.append(body.decode())


channel.basic_consume(queue, on_answer, auto_ack=True)
asking = pika.BasicProperties(reply_to=queue, correlation_id=question)
channel.basic_publish("", "py-rpc", sys.argv[1].encode(), asking)
while not answers:
    connection.process_data_events(time_limit=None)
say(f"answer: {answers[0]}")
connection.close()
