"""RPC: answers with Fibonacci numbers."""

import pika
from broker import connect, say


def fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def on_request(channel, method, properties, body):
    answer = str(fibonacci(int(body))).encode()
    same = pika.BasicProperties(correlation_id=properties.correlation_id)
    channel.basic_publish("", properties.reply_to, answer, same)
    channel.basic_ack(method.delivery_tag)


channel = connect().channel()
channel.queue_declare("py-rpc", durable=True)
channel.basic_qos(prefetch_count=1)
channel.basic_consume("py-rpc", on_request)
say("waiting")
channel.start_consuming()
