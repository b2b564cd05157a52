/* Eclipse Paho C (synchronous) against the broker at argv[1]: every QoS, a session, a retained message. */

#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 20000L

static void fail(const char *what, int code) {
  fprintf(stderr, "%s: %d\n", what, code);
  exit(1);
}

static MQTTClient open_client(const char *address, const char *id, int clean) {
  MQTTClient client;
  MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
  options.cleansession = clean;
  options.username = "guest";
  options.password = "guest";
  int code = MQTTClient_create(&client, address, id, MQTTCLIENT_PERSISTENCE_NONE, NULL);
  if (code != MQTTCLIENT_SUCCESS) fail("create", code);
  code = MQTTClient_connect(client, &options);
  if (code != MQTTCLIENT_SUCCESS) fail("connect", code);
  return client;
}

static void publish(MQTTClient client, const char *topic, const char *text, int qos, int retained) {
  MQTTClient_deliveryToken token;
  int code = MQTTClient_publish(client, topic, (int)strlen(text), text, qos, retained, &token);
  if (code != MQTTCLIENT_SUCCESS) fail("publish", code);
  code = MQTTClient_waitForCompletion(client, token, TIMEOUT_MS);
  if (code != MQTTCLIENT_SUCCESS) fail("complete", code);
}

static void expect(MQTTClient client, const char *topic, const char *text, int qos, int retained) {
  char *got = NULL;
  int size = 0;
  MQTTClient_message *message = NULL;
  int code = MQTTClient_receive(client, &got, &size, &message, TIMEOUT_MS);
  if (code != MQTTCLIENT_SUCCESS || message == NULL) fail("receive", code);
  int same = strcmp(got, topic) == 0 && message->payloadlen == (int)strlen(text) &&
             memcmp(message->payload, text, strlen(text)) == 0 && message->qos == qos &&
             message->retained == retained;
  if (!same) fail(got, message->qos);
  MQTTClient_freeMessage(&message);
  MQTTClient_free(got);
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  const char *address = argv[1];
  MQTTClient client = open_client(address, "paho-c", 1);
  for (int qos = 0; qos <= 2; qos++) {
    char filter[32], topic[32];
    snprintf(filter, sizeof filter, "paho-c/%d/+", qos);
    snprintf(topic, sizeof topic, "paho-c/%d/a.b", qos);
    int code = MQTTClient_subscribe(client, filter, qos);
    if (code != MQTTCLIENT_SUCCESS) fail("subscribe", code);
    for (int i = 0; i < 100; i++) {
      publish(client, topic, "hello", qos, 0);
      expect(client, topic, "hello", qos, 0);
    }
  }
  publish(client, "paho-c/kept", "kept", 1, 1);
  MQTTClient_subscribe(client, "paho-c/kept", 1);
  expect(client, "paho-c/kept", "kept", 1, 1);
  publish(client, "paho-c/kept", "", 1, 1);
  expect(client, "paho-c/kept", "", 1, 0);
  MQTTClient session = open_client(address, "paho-c-session", 0);
  MQTTClient_subscribe(session, "paho-c/session", 2);
  MQTTClient_disconnect(session, 1000);
  for (int i = 0; i < 20; i++) publish(client, "paho-c/session", "waits", 2, 0);
  MQTTClient_destroy(&session);
  session = open_client(address, "paho-c-session", 0);
  for (int i = 0; i < 20; i++) expect(session, "paho-c/session", "waits", 2, 0);
  MQTTClient_disconnect(session, 1000);
  MQTTClient_destroy(&session);
  MQTTClient_disconnect(client, 1000);
  MQTTClient_destroy(&client);
  puts("paho-c: ok");
  return 0;
}
