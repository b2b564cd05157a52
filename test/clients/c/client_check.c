/* Judges a broker with rabbitmq-c: exits with an error when anything is not as it should be. */

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MESSAGES 1000
#define LARGE (4 * 1024 * 1024)

static const char *host;
static int port;

static void check(int ok, const char *format, ...) {
  if (ok) return;
  va_list values;
  va_start(values, format);
  vfprintf(stderr, format, values);
  va_end(values);
  fputc('\n', stderr);
  exit(1);
}

static void check_reply(amqp_connection_state_t connection, const char *what) {
  amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection);
  check(reply.reply_type == AMQP_RESPONSE_NORMAL, "%s: reply type %d", what, reply.reply_type);
}

static amqp_connection_state_t open_connection(int heartbeat) {
  amqp_connection_state_t connection = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(connection);
  check(amqp_socket_open(socket, host, port) == 0, "cannot connect to %s:%d", host, port);
  amqp_rpc_reply_t reply = amqp_login(connection, "/", AMQP_DEFAULT_MAX_CHANNELS, 131072, heartbeat,
                                      AMQP_SASL_METHOD_PLAIN, "guest", "guest");
  check(reply.reply_type == AMQP_RESPONSE_NORMAL, "login failed");
  amqp_channel_open(connection, 1);
  check_reply(connection, "channel.open");
  return connection;
}

static void close_connection(amqp_connection_state_t connection) {
  amqp_rpc_reply_t reply = amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
  check(reply.reply_type == AMQP_RESPONSE_NORMAL, "close failed");
  amqp_destroy_connection(connection);
}

static void publish(amqp_connection_state_t connection, amqp_bytes_t queue, amqp_bytes_t body,
                    int mandatory) {
  amqp_basic_properties_t properties;
  memset(&properties, 0, sizeof properties);
  properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG;
  properties.delivery_mode = 2;
  properties.content_type = amqp_cstring_bytes("text/plain");
  int status = amqp_basic_publish(connection, 1, amqp_empty_bytes, queue, mandatory, 0,
                                  &properties, body);
  check(status == AMQP_STATUS_OK, "publish: %s", amqp_error_string2(status));
}

static amqp_frame_t next_method(amqp_connection_state_t connection) {
  amqp_frame_t frame;
  struct timeval limit = {10, 0};
  int status = amqp_simple_wait_frame_noblock(connection, &frame, &limit);
  check(status == AMQP_STATUS_OK, "no frame: %s", amqp_error_string2(status));
  check(frame.frame_type == AMQP_FRAME_METHOD, "frame type %d", frame.frame_type);
  return frame;
}

static void wait_for_confirms(amqp_connection_state_t connection, uint64_t last) {
  uint64_t confirmed = 0;
  static unsigned char seen[MESSAGES + 100];
  memset(seen, 0, sizeof seen);
  while (confirmed < last) {
    amqp_frame_t frame = next_method(connection);
    check(frame.payload.method.id == AMQP_BASIC_ACK_METHOD, "method %x", frame.payload.method.id);
    amqp_basic_ack_t *ack = frame.payload.method.decoded;
    uint64_t from = ack->multiple ? 1 : ack->delivery_tag;
    for (uint64_t tag = from; tag <= ack->delivery_tag; tag += 1) {
      if (!seen[tag]) confirmed += 1;
      seen[tag] = 1;
    }
  }
}

static void publish_with_confirms(amqp_connection_state_t connection, amqp_bytes_t queue) {
  amqp_confirm_select(connection, 1);
  check_reply(connection, "confirm.select");
  char text[16];
  for (int i = 0; i < MESSAGES; i += 1) {
    snprintf(text, sizeof text, "%d", i);
    publish(connection, queue, amqp_cstring_bytes(text), 0);
  }
  wait_for_confirms(connection, MESSAGES);
  amqp_queue_declare_ok_t *declared = amqp_queue_declare(connection, 1, queue, 1, 1, 0, 0,
                                                         amqp_empty_table);
  check_reply(connection, "queue.declare");
  check(declared->message_count == MESSAGES, "%u messages", declared->message_count);
}

static void consume_with_acks(amqp_connection_state_t connection, amqp_bytes_t queue) {
  amqp_basic_qos(connection, 1, 0, 50, 0);
  check_reply(connection, "basic.qos");
  amqp_basic_consume(connection, 1, queue, amqp_cstring_bytes("c"), 0, 0, 0, amqp_empty_table);
  check_reply(connection, "basic.consume");
  char text[16];
  for (int i = 0; i < MESSAGES; i += 1) {
    amqp_envelope_t envelope;
    struct timeval limit = {10, 0};
    amqp_rpc_reply_t reply = amqp_consume_message(connection, &envelope, &limit, 0);
    check(reply.reply_type == AMQP_RESPONSE_NORMAL, "only %d messages came", i);
    int size = snprintf(text, sizeof text, "%d", i);
    check(envelope.message.body.len == (size_t)size &&
              memcmp(envelope.message.body.bytes, text, size) == 0,
          "message %d is another", i);
    if (i % 10 == 9) amqp_basic_ack(connection, 1, envelope.delivery_tag, 1);
    amqp_destroy_envelope(&envelope);
  }
  amqp_basic_cancel(connection, 1, amqp_cstring_bytes("c"));
  check_reply(connection, "basic.cancel");
}

static void mandatory_return(amqp_connection_state_t connection) {
  publish(connection, amqp_cstring_bytes("no-such-queue"), amqp_cstring_bytes("x"), 1);
  amqp_frame_t frame = next_method(connection);
  check(frame.payload.method.id == AMQP_BASIC_RETURN_METHOD, "not returned");
  amqp_basic_return_t *returned = frame.payload.method.decoded;
  check(returned->reply_code == 312, "returned with %d", returned->reply_code);
  amqp_message_t message;
  amqp_read_message(connection, 1, &message, 0);
  check(message.body.len == 1, "returned without its body");
  amqp_destroy_message(&message);
  frame = next_method(connection);
  check(frame.payload.method.id == AMQP_BASIC_ACK_METHOD, "not confirmed after its return");
}

static uint64_t get(amqp_connection_state_t connection, amqp_bytes_t queue, int no_ack,
                    amqp_message_t *message, int *redelivered) {
  amqp_rpc_reply_t reply = amqp_basic_get(connection, 1, queue, no_ack);
  check(reply.reply_type == AMQP_RESPONSE_NORMAL, "get failed");
  check(reply.reply.id == AMQP_BASIC_GET_OK_METHOD, "the queue is empty");
  amqp_basic_get_ok_t *ok = reply.reply.decoded;
  uint64_t tag = ok->delivery_tag;
  *redelivered = ok->redelivered;
  amqp_read_message(connection, 1, message, 0);
  return tag;
}

static void get_and_requeue(amqp_connection_state_t connection, amqp_bytes_t queue) {
  amqp_message_t message;
  int redelivered;
  publish(connection, queue, amqp_cstring_bytes("one"), 0);
  next_method(connection);
  uint64_t tag = get(connection, queue, 0, &message, &redelivered);
  check(!redelivered && message.body.len == 3, "a fresh message is not as sent");
  amqp_destroy_message(&message);
  amqp_basic_nack(connection, 1, tag, 0, 1);
  tag = get(connection, queue, 0, &message, &redelivered);
  check(redelivered && memcmp(message.body.bytes, "one", 3) == 0, "not redelivered");
  amqp_destroy_message(&message);
  amqp_basic_reject(connection, 1, tag, 0);
  amqp_rpc_reply_t reply = amqp_basic_get(connection, 1, queue, 1);
  check(reply.reply.id == AMQP_BASIC_GET_EMPTY_METHOD, "the queue is not empty");
}

static void large_body(amqp_connection_state_t connection, amqp_bytes_t queue) {
  amqp_bytes_t body = amqp_bytes_malloc(LARGE);
  for (size_t i = 0; i < LARGE; i += 1) ((unsigned char *)body.bytes)[i] = (i * 31 + i / 251) & 255;
  publish(connection, queue, body, 0);
  next_method(connection);
  amqp_message_t message;
  int redelivered;
  get(connection, queue, 1, &message, &redelivered);
  check(message.body.len == LARGE && memcmp(message.body.bytes, body.bytes, LARGE) == 0,
        "a large body changed");
  amqp_destroy_message(&message);
  amqp_bytes_free(body);
}

static void heartbeats(void) {
  amqp_connection_state_t connection = open_connection(1);
  for (int i = 0; i < 7; i += 1) {
    /* The library sends its heartbeats while it waits. */
    amqp_frame_t frame;
    struct timeval limit = {0, 500000};
    int status = amqp_simple_wait_frame_noblock(connection, &frame, &limit);
    check(status == AMQP_STATUS_TIMEOUT, "heartbeats: %s", amqp_error_string2(status));
  }
  amqp_queue_declare(connection, 1, amqp_empty_bytes, 0, 0, 1, 0, amqp_empty_table);
  check_reply(connection, "queue.declare after heartbeats");
  close_connection(connection);
}

static void channel_error(amqp_connection_state_t connection) {
  amqp_channel_open(connection, 2);
  check_reply(connection, "channel.open");
  amqp_queue_declare(connection, 2, amqp_cstring_bytes("no-such-queue"), 1, 0, 0, 0,
                     amqp_empty_table);
  amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection);
  check(reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION, "a missing queue was found");
  check(reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD, "more than the channel was closed");
  amqp_channel_close_t *closed = reply.reply.decoded;
  check(closed->reply_code == 404, "closed with %d", closed->reply_code);
}

int main(int count, char **arguments) {
  check(count == 3, "usage: client_check HOST PORT");
  host = arguments[1];
  port = atoi(arguments[2]);
  amqp_connection_state_t connection = open_connection(0);
  char name[32];
  snprintf(name, sizeof name, "c-%d", getpid());
  amqp_bytes_t queue = amqp_cstring_bytes(name);
  amqp_queue_declare(connection, 1, queue, 0, 1, 0, 0, amqp_empty_table);
  check_reply(connection, "queue.declare");
  publish_with_confirms(connection, queue);
  consume_with_acks(connection, queue);
  mandatory_return(connection);
  get_and_requeue(connection, queue);
  large_body(connection, queue);
  heartbeats();
  channel_error(connection);
  amqp_queue_delete(connection, 1, queue, 0, 0);
  check_reply(connection, "queue.delete");
  close_connection(connection);
  return 0;
}
