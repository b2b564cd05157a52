// A chat and a live chart: two subscriptions of one STOMP connection over WebSocket.

const pointsMax = 100

const element = (id) => document.getElementById(id)
const asked = new URLSearchParams(location.search)

const client = new StompJs.Client({
  brokerURL: asked.get('broker') ?? `ws://${location.hostname}:15674/ws`,
  connectHeaders: {
    login: asked.get('login') ?? 'guest',
    passcode: asked.get('passcode') ?? 'guest',
  },
  // The library connects again by itself; what is subscribed to is said anew in onConnect.
  reconnectDelay: 500,
  heartbeatIncoming: 4000,
  heartbeatOutgoing: 4000,
})

client.onConnect = () => {
  show('connected')
  client.subscribe('/topic/chat', (message) => addMessage(JSON.parse(message.body)))
  client.subscribe('/topic/metrics.load', (message) => addPoint(JSON.parse(message.body).value))
}
client.onStompError = (frame) => show(frame.headers.message)
client.onWebSocketClose = () => show('connecting')

function show(state) {
  element('state').textContent = state
  element('state').dataset.state = state
}

function addMessage({ name, text }) {
  const line = document.createElement('li')
  const who = document.createElement('b')
  who.textContent = name
  // textContent, never innerHTML: anybody may write here.
  line.append(who, `: ${text}`)
  element('messages').append(line)
  line.scrollIntoView()
}

const points = []
let count = 0

function addPoint(value) {
  points.push(value)
  if (points.length > pointsMax) points.shift()
  count++
  const step = 600 / (pointsMax - 1)
  const line = points.map((each, i) => `${(i * step).toFixed(1)},${(240 - each * 2.4).toFixed(1)}`)
  element('line').setAttribute('points', line.join(' '))
  element('value').textContent = value.toFixed(1)
  element('chart').dataset.count = count
}

element('name').value = asked.get('name') ?? `guest-${Math.floor(Math.random() * 1000)}`
element('say').addEventListener('submit', (event) => {
  event.preventDefault()
  const text = element('text').value.trim()
  if (text === '' || !client.connected) return
  const body = JSON.stringify({ name: element('name').value, text })
  client.publish({ destination: '/topic/chat', body })
  element('text').value = ''
})

client.activate()
