"""paho-mqtt against the broker at MQTT_HOST:MQTT_PORT: 3.1.1 and 5, every QoS, retained, will, session."""

import os
import queue
import time

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

HOST = os.environ["MQTT_HOST"]
PORT = int(os.environ["MQTT_PORT"])
RUN = f"paho-py/{os.getpid()}"


class Peer:
    def __init__(self, client_id, version=paho.MQTTv311, clean=True, will=None):
        options = {} if version == paho.MQTTv5 else {"clean_session": clean}
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version, **options
        )
        self.client.username_pw_set("guest", "guest")
        if will is not None:
            self.client.will_set(*will)
        self.inbox = queue.Queue()
        self.done = queue.Queue()
        self.client.on_message = lambda _c, _u, message: self.inbox.put(message)
        self.client.on_subscribe = lambda _c, _u, _mid, codes, _p: self.done.put(codes)
        self.client.on_connect = lambda _c, _u, flags, code, _p: self.done.put((flags, code))
        self.client.connect(HOST, PORT)
        self.client.loop_start()
        self.flags, code = self.done.get(timeout=20)
        assert not code.is_failure, code

    def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos)
        codes = self.done.get(timeout=20)
        assert codes[0].value == qos, codes

    def publish(self, topic, payload, qos, retain=False, properties=None):
        self.client.publish(topic, payload, qos, retain, properties).wait_for_publish(20)

    def expect(self, topic, payload, qos, retain=False):
        message = self.inbox.get(timeout=20)
        found = (message.topic, message.payload, message.qos, bool(message.retain))
        assert found == (topic, payload, qos, retain), found
        return message

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def check(version):
    base = f"{RUN}/{int(version)}"
    peer = Peer(f"{base}-a", version)
    for qos in (0, 1, 2):
        peer.subscribe(f"{base}/q{qos}/+", qos)
        for sent in (0, 1, 2):
            peer.publish(f"{base}/q{qos}/a.b", f"{sent}", sent)
            peer.expect(f"{base}/q{qos}/a.b", str(sent).encode(), min(qos, sent))
    peer.publish(f"{base}/r/x", "kept", 1, True)
    peer.subscribe(f"{base}/r/#", 1)
    peer.expect(f"{base}/r/x", b"kept", 1, True)
    peer.publish(f"{base}/r/x", "", 1, True)
    peer.expect(f"{base}/r/x", b"", 1)
    # A will, published when the socket goes without DISCONNECT.
    peer.subscribe(f"{base}/will", 2)
    gone = Peer(f"{base}-b", version, will=(f"{base}/will", "gone", 2))
    gone.client.loop_stop()
    gone.client.socket().close()
    peer.expect(f"{base}/will", b"gone", 2)
    peer.close()


def check_session():
    topic = f"{RUN}/session"
    first = Peer(f"{RUN}-s", clean=False)
    first.subscribe(topic, 2)
    first.close()
    other = Peer(f"{RUN}-o")
    for number in range(100):
        other.publish(topic, f"{number}", 2)
    again = Peer(f"{RUN}-s", clean=False)
    assert again.flags.session_present
    for number in range(100):
        again.expect(topic, str(number).encode(), 2)
    again.close()
    other.close()


def check_properties():
    topic = f"{RUN}/properties"
    peer = Peer(f"{RUN}-p", paho.MQTTv5)
    peer.subscribe(topic, 1)
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = "text/plain"
    properties.ResponseTopic = "answers"
    properties.CorrelationData = b"\x00\xff"
    properties.UserProperty = [("a", "1"), ("a", "2")]
    peer.publish(topic, "x", 1, properties=properties)
    got = peer.expect(topic, b"x", 1).properties
    assert got.ContentType == "text/plain" and got.ResponseTopic == "answers"
    assert got.CorrelationData == b"\x00\xff" and got.UserProperty == [("a", "1"), ("a", "2")]
    peer.close()


started = time.time()
check(paho.MQTTv311)
check(paho.MQTTv5)
check_session()
check_properties()
print(f"paho-mqtt: {time.time() - started:.1f} s")
