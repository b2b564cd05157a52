// Eclipse Paho Go against the broker at MQTT_URL: every QoS, a session, a retained message.
package main

import (
	"fmt"
	"os"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const timeout = 20 * time.Second

func must(token mqtt.Token) {
	if !token.WaitTimeout(timeout) {
		panic("timeout")
	}
	if err := token.Error(); err != nil {
		panic(err)
	}
}

func open(id string, clean bool) (mqtt.Client, chan mqtt.Message) {
	inbox := make(chan mqtt.Message, 1000)
	options := mqtt.NewClientOptions().AddBroker(os.Getenv("MQTT_URL")).SetClientID(id)
	options.SetUsername("guest").SetPassword("guest").SetCleanSession(clean).SetAutoReconnect(false)
	options.SetDefaultPublishHandler(func(_ mqtt.Client, message mqtt.Message) { inbox <- message })
	client := mqtt.NewClient(options)
	must(client.Connect())
	return client, inbox
}

func expect(inbox chan mqtt.Message, topic string, text string, qos byte, retained bool) {
	select {
	case got := <-inbox:
		same := got.Topic() == topic && string(got.Payload()) == text
		if !same || got.Qos() != qos || got.Retained() != retained {
			panic(fmt.Sprint(got.Topic(), string(got.Payload()), got.Qos(), got.Retained()))
		}
	case <-time.After(timeout):
		panic("no message on " + topic)
	}
}

func main() {
	client, inbox := open("paho-go", true)
	for qos := byte(0); qos <= 2; qos++ {
		topic := fmt.Sprintf("paho-go/%d/a.b", qos)
		must(client.Subscribe(fmt.Sprintf("paho-go/%d/+", qos), qos, nil))
		for i := 0; i < 100; i++ {
			must(client.Publish(topic, qos, false, fmt.Sprint(i)))
			expect(inbox, topic, fmt.Sprint(i), qos, false)
		}
	}
	must(client.Publish("paho-go/kept", 1, true, "kept"))
	must(client.Subscribe("paho-go/kept", 1, nil))
	expect(inbox, "paho-go/kept", "kept", 1, true)
	must(client.Publish("paho-go/kept", 1, true, ""))
	session, _ := open("paho-go-session", false)
	must(session.Subscribe("paho-go/session", 2, nil))
	session.Disconnect(250)
	for i := 0; i < 50; i++ {
		must(client.Publish("paho-go/session", 2, false, fmt.Sprint(i)))
	}
	session, waiting := open("paho-go-session", false)
	for i := 0; i < 50; i++ {
		expect(waiting, "paho-go/session", fmt.Sprint(i), 2, false)
	}
	session.Disconnect(250)
	client.Disconnect(250)
	fmt.Println("paho-go: ok")
}
