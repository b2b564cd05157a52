// Judges a broker with amqp091-go: exits with an error when anything is not as it should be.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const messages = 1000

func main() {
	log.SetFlags(0)
	url := os.Getenv("AMQP_URL")
	connection, err := amqp.Dial(url)
	must(err)
	channel, err := connection.Channel()
	must(err)
	queue, err := channel.QueueDeclare(fmt.Sprintf("go-%d", os.Getpid()), true, false, false, false, nil)
	must(err)

	publishWithConfirms(channel, queue.Name)
	consumeWithAcks(channel, queue.Name)
	mandatoryReturn(channel)
	getAndRequeue(channel, queue.Name)
	largeBody(channel, queue.Name)
	transactions(connection, queue.Name)
	heartbeats(url)
	cancelNotification(connection, channel, queue.Name)
	channelError(connection)

	_, err = channel.QueueDelete(queue.Name, false, false, false)
	must(err)
	must(connection.Close())
}

func publishWithConfirms(channel *amqp.Channel, queue string) {
	must(channel.Confirm(false))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var pending []*amqp.DeferredConfirmation
	for i := 0; i < messages; i++ {
		confirmation, err := channel.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent,
			Headers:      amqp.Table{"n": int32(i), "list": []interface{}{"a", int64(1) << 40, true}},
			Body:         []byte(fmt.Sprint(i)),
		})
		must(err)
		pending = append(pending, confirmation)
	}
	for i, confirmation := range pending {
		acked, err := confirmation.WaitContext(ctx)
		must(err)
		check(acked, "message %d was not confirmed", i)
	}
	declared, err := channel.QueueDeclarePassive(queue, true, false, false, false, nil)
	must(err)
	check(declared.Messages == messages, "%d messages in the queue", declared.Messages)
}

func consumeWithAcks(channel *amqp.Channel, queue string) {
	must(channel.Qos(100, 0, false))
	deliveries, err := channel.Consume(queue, "go-consumer", false, false, false, false, nil)
	must(err)
	for i := 0; i < messages; i++ {
		select {
		case delivery := <-deliveries:
			check(string(delivery.Body) == fmt.Sprint(i), "got %s for %d", delivery.Body, i)
			check(delivery.Headers["n"] == int32(i), "header n is %v", delivery.Headers["n"])
			// Every tenth one settles ten.
			if i%10 == 9 {
				must(delivery.Ack(true))
			}
		case <-time.After(10 * time.Second):
			log.Fatalf("only %d messages came", i)
		}
	}
	must(channel.Cancel("go-consumer", false))
}

func mandatoryReturn(channel *amqp.Channel) {
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	must(channel.PublishWithContext(context.Background(), "", "no-such-queue", true, false, amqp.Publishing{Body: []byte("x")}))
	select {
	case returned := <-returns:
		check(returned.ReplyCode == 312 && string(returned.Body) == "x", "returned %v", returned)
	case <-time.After(5 * time.Second):
		log.Fatal("an unroutable message was not returned")
	}
}

func getAndRequeue(channel *amqp.Channel, queue string) {
	publish(channel, queue, []byte("first"))
	publish(channel, queue, []byte("second"))
	got := get(channel, queue)
	check(string(got.Body) == "first" && !got.Redelivered, "got %s", got.Body)
	must(got.Nack(false, true))
	got = get(channel, queue)
	check(string(got.Body) == "first" && got.Redelivered, "got %s after a requeue", got.Body)
	must(got.Ack(false))
	got = get(channel, queue)
	must(got.Reject(false))
	_, ok, err := channel.Get(queue, false)
	must(err)
	check(!ok, "the queue is not empty")
}

func largeBody(channel *amqp.Channel, queue string) {
	body := make([]byte, 4<<20)
	_, err := rand.Read(body)
	must(err)
	publish(channel, queue, body)
	got := get(channel, queue)
	check(bytes.Equal(got.Body, body), "a large body changed")
	must(got.Ack(false))
}

func transactions(connection *amqp.Connection, queue string) {
	channel, err := connection.Channel()
	must(err)
	must(channel.Tx())
	must(channel.PublishWithContext(context.Background(), "", queue, false, false, amqp.Publishing{Body: []byte("dropped")}))
	must(channel.TxRollback())
	must(channel.PublishWithContext(context.Background(), "", queue, false, false, amqp.Publishing{Body: []byte("kept")}))
	must(channel.TxCommit())
	got := get(channel, queue)
	check(string(got.Body) == "kept", "got %s", got.Body)
	must(got.Ack(false))
	must(channel.TxCommit())
	must(channel.Close())
}

func heartbeats(url string) {
	connection, err := amqp.DialConfig(url, amqp.Config{Heartbeat: time.Second})
	must(err)
	time.Sleep(3500 * time.Millisecond)
	channel, err := connection.Channel()
	must(err)
	_, err = channel.QueueDeclare("", false, false, true, false, nil)
	must(err)
	must(connection.Close())
}

func cancelNotification(connection *amqp.Connection, channel *amqp.Channel, queue string) {
	cancels := channel.NotifyCancel(make(chan string, 1))
	_, err := channel.Consume(queue, "notified", true, false, false, false, nil)
	must(err)
	other, err := connection.Channel()
	must(err)
	_, err = other.QueueDelete(queue, false, false, false)
	must(err)
	select {
	case tag := <-cancels:
		check(tag == "notified", "cancelled %s", tag)
	case <-time.After(5 * time.Second):
		log.Fatal("no cancel notification")
	}
}

func channelError(connection *amqp.Connection) {
	channel, err := connection.Channel()
	must(err)
	_, err = channel.QueueDeclarePassive("no-such-queue", true, false, false, false, nil)
	closed, ok := err.(*amqp.Error)
	check(ok && closed.Code == 404, "a missing queue: %v", err)
}

func publish(channel *amqp.Channel, queue string, body []byte) {
	confirmation, err := channel.PublishWithDeferredConfirmWithContext(context.Background(), "", queue, false, false, amqp.Publishing{Body: body})
	must(err)
	check(confirmation.Wait(), "not confirmed")
}

func get(channel *amqp.Channel, queue string) amqp.Delivery {
	got, ok, err := channel.Get(queue, false)
	must(err)
	check(ok, "the queue is empty")
	return got
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func check(ok bool, format string, values ...interface{}) {
	if !ok {
		log.Fatalf(format, values...)
	}
}
