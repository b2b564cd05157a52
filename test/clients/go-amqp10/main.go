// Judges a broker with Azure/go-amqp, a client of AMQP 1.0: management, publishing, receiving,
// outcomes, large messages, refusals.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/go-amqp"
)

func check(err error, what string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func expect(ok bool, what string, got any) {
	if !ok {
		fmt.Fprintf(os.Stderr, "%s: got %v\n", what, got)
		os.Exit(1)
	}
}

// manager is a management link pair.
type manager struct {
	sender   *amqp.Sender
	receiver *amqp.Receiver
	count    int
}

func manage(ctx context.Context, session *amqp.Session) *manager {
	paired := map[string]any{"paired": true}
	settled := amqp.SenderSettleModeSettled
	sender, err := session.NewSender(ctx, "/management", &amqp.SenderOptions{
		Name: "pair", SettlementMode: &settled, Properties: paired, SourceAddress: "me",
	})
	check(err, "management sender")
	receiver, err := session.NewReceiver(ctx, "/management", &amqp.ReceiverOptions{
		Name: "pair", RequestedSenderSettleMode: &settled, Properties: paired, TargetAddress: "me",
		Credit: 10,
	})
	check(err, "management receiver")
	return &manager{sender: sender, receiver: receiver}
}

func (m *manager) do(ctx context.Context, method, to string, body any) (string, any) {
	m.count++
	me := "$me"
	request := &amqp.Message{
		Properties: &amqp.MessageProperties{
			MessageID: uint64(m.count), To: &to, Subject: &method, ReplyTo: &me,
		},
		Value: body,
	}
	check(m.sender.Send(ctx, request, &amqp.SendOptions{Settled: true}), method+" "+to)
	response, err := m.receiver.Receive(ctx, nil)
	check(err, "response to "+method+" "+to)
	expect(response.Properties.CorrelationID == uint64(m.count), "correlation-id",
		response.Properties.CorrelationID)
	return *response.Properties.Subject, response.Value
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	address, err := url.Parse(os.Getenv("AMQP_URL"))
	check(err, "AMQP_URL")
	password, _ := address.User.Password()
	conn, err := amqp.Dial(ctx, "amqp://"+address.Host, &amqp.ConnOptions{
		SASLType:    amqp.SASLTypePlain(address.User.Username(), password),
		HostName:    "vhost:/",
		ContainerID: "go",
	})
	check(err, "dial")
	session, err := conn.NewSession(ctx, nil)
	check(err, "session")

	queue := fmt.Sprintf("go-amqp10-%d", os.Getpid())
	path := "/queues/" + queue
	m := manage(ctx, session)
	status, _ := m.do(ctx, "PUT", path, map[string]any{"durable": true})
	expect(status == "201", "declare", status)
	status, body := m.do(ctx, "GET", path, nil)
	expect(status == "200", "look", status)
	expect(body.(map[string]any)["type"] == "classic", "type", body)

	sender, err := session.NewSender(ctx, path, nil)
	check(err, "sender")
	for i := 0; i < 500; i++ {
		message := amqp.NewMessage([]byte(fmt.Sprintf("m%d", i)))
		message.ApplicationProperties = map[string]any{"number": int64(i)}
		message.Properties = &amqp.MessageProperties{MessageID: fmt.Sprintf("id%d", i)}
		check(sender.Send(ctx, message, nil), "send")
	}
	receiver, err := session.NewReceiver(ctx, path, &amqp.ReceiverOptions{Credit: 100})
	check(err, "receiver")
	for i := 0; i < 500; i++ {
		message, err := receiver.Receive(ctx, nil)
		check(err, "receive")
		expect(string(message.GetData()) == fmt.Sprintf("m%d", i), "order", string(message.GetData()))
		expect(message.ApplicationProperties["number"] == int64(i), "number", message.ApplicationProperties)
		check(receiver.AcceptMessage(ctx, message), "accept")
	}

	large := bytes.Repeat([]byte("warren"), 500_000)
	check(sender.Send(ctx, amqp.NewMessage(large), nil), "send 3 MB")
	message, err := receiver.Receive(ctx, nil)
	check(err, "receive 3 MB")
	expect(bytes.Equal(message.GetData(), large), "3 MB", len(message.GetData()))
	check(receiver.ReleaseMessage(ctx, message), "release")
	message, err = receiver.Receive(ctx, nil)
	check(err, "receive again")
	expect(!message.Header.FirstAcquirer, "first-acquirer", true)
	failed := &amqp.ModifyMessageOptions{DeliveryFailed: true}
	check(receiver.ModifyMessage(ctx, message, failed), "modify")
	message, err = receiver.Receive(ctx, nil)
	check(err, "receive once more")
	check(receiver.RejectMessage(ctx, message, nil), "reject")
	check(receiver.Close(ctx), "close receiver")

	nowhere, err := session.NewSender(ctx, "/exchanges/amq.direct/nowhere", nil)
	check(err, "sender to nowhere")
	err = nowhere.Send(ctx, amqp.NewMessage([]byte("x")), nil)
	expect(err == nil || strings.Contains(err.Error(), "release"), "released", err)

	// The attach is answered first; what is wrong comes with the detach behind it.
	refused, err := session.NewSender(ctx, "/queues/none-at-all", nil)
	if err == nil {
		err = refused.Send(ctx, amqp.NewMessage([]byte("x")), nil)
	}
	var linkError *amqp.LinkError
	expect(errors.As(err, &linkError), "refusal", err)
	expect(linkError.RemoteErr != nil && linkError.RemoteErr.Condition == amqp.ErrCondNotFound,
		"condition", linkError.RemoteErr)

	status, _ = m.do(ctx, "DELETE", path, nil)
	expect(status == "200", "delete", status)
	check(session.Close(ctx), "close session")
	check(conn.Close(), "close")
	fmt.Println("AMQP 1.0: Azure/go-amqp: fine")
}
