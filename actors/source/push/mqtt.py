"""Topics of an MQTT broker: each message is on disk before it is acknowledged.

The session is persistent, so that the broker keeps what comes while nobody is connected, and sends again what was not
acknowledged. Whether such a message is in the journal already is known by its packet id and what it says: the broker
has at most `RECEIVE_MAX` messages on their way, so those among the newest that many are all that it can send again.
"""

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import xxhash

from actors.errors import SourceError
from actors.extras import need
from actors.source.access import BrokerAccess
from actors.source.push.feed_thread import FeedThread
from actors.source.push.journal import FORGET_ALL, Arrival, Mark
from actors.source.push.keeper import Keeper, Outcome
from config.push import MqttSource

if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
    from paho.mqtt.reasoncodes import ReasonCode

log = logging.getLogger(__name__)

RECEIVE_MAX = 1_000
"""Messages that the broker may have sent without an acknowledgement."""

CONNECT_TIMEOUT_S = 3.0
"""Longest wait for a connection, and for the broker's answer to it."""

KEEPALIVE_S = 10
"""Seconds of silence after which the broker is asked whether it is there; after as many more it is not."""

PAUSE_S = (0.2, 15.0)
"""First and longest pause before the broker is tried again; half of each is left to chance."""

AWAY_S = 10.0
"""Seconds for which a broker that was there may be away before that is said."""


def import_client() -> Any:
    """Return the module of the client.

    Raises:
        SourceError: it is not installed.
    """
    return need("mqtt", SourceError)[0]


class MqttFeed:
    """Keeps a session with a broker, and what it gets, until it is closed."""

    def __init__(
        self,
        source: MqttSource,
        client_id: str,
        access: BrokerAccess,
        keeper: Keeper,
        now_us: Callable[[], int],
        random: Callable[[], float],
    ) -> None:
        self._source = source
        self._client_id = client_id
        self._access = access
        self._keeper = keeper
        self._now_us = now_us
        self._random = random
        self.has_begun = threading.Event()
        """Set once the broker sends what comes."""
        self._thread = FeedThread("mqtt", keeper, self._run)
        self._thread.start()

    def close(self) -> None:
        """Disconnect; the broker keeps the session."""
        self._thread.close()

    def _run(self) -> None:
        pause_s, away_s = PAUSE_S[0], 0.0
        while not self._thread.closing.is_set():
            connection = _Connection(self)
            try:
                trouble = connection.serve(self._thread.closing)
            except Exception as error:  # whatever it is, the broker is tried again
                trouble = f"MQTT does not answer: {error}"
                if not isinstance(error, OSError):
                    log.exception("the connection to the broker has failed")
            if connection.is_subscribed:
                pause_s, away_s = PAUSE_S[0], 0.0
            if self._thread.closing.is_set():
                return
            if not self.has_begun.is_set() or away_s >= AWAY_S or connection.is_refused:
                self._keeper.say(trouble)
            wait_s = pause_s * (0.5 + 0.5 * self._random())
            self._thread.closing.wait(wait_s)
            # A try takes its time too.
            away_s += wait_s + CONNECT_TIMEOUT_S
            pause_s = min(2 * pause_s, PAUSE_S[1])

    def make_client(self) -> "Client":
        """Return a client that is not connected yet."""
        paho = import_client()
        client: Client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            self._client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        security = self._source.security
        if security.username is not None:
            client.username_pw_set(security.username, self._access.secrets.get("password"))
        if self._access.tls is not None:
            client.tls_set_context(self._access.tls)
        return client

    @property
    def source(self) -> MqttSource:
        """What is read."""
        return self._source

    def forget_session(self) -> None:
        """Know that the broker has begun another session, which repeats nothing of those before."""
        self._keeper.submit(Arrival(records=(), place="", received_us=self._now_us(), mark=FORGET_ALL))

    def take(self, client: "Client", message: "MQTTMessage") -> None:
        """Have a message kept, and acknowledged once it is."""
        self._keeper.wait_for_room()
        topic, mid, qos = message.topic, message.mid, message.qos
        mark = None
        if qos:
            digest = xxhash.xxh3_128(message.payload)
            digest.update(topic.encode("utf-8", "surrogatepass"))
            mark = Mark(key=str(mid), digest=digest.hexdigest())

        def done(outcome: Outcome) -> None:
            del outcome
            client.ack(mid, qos)

        # A message without a value takes back what the broker has retained, and is no record.
        records = (bytes(message.payload),) if message.payload else ()
        arrival = Arrival(records=records, place=topic, received_us=self._now_us(), mark=mark)
        self._keeper.submit(arrival, done, may_be_known=bool(message.dup))

    def say(self, trouble: str | None) -> None:
        """Tell who reads the job's rows why nothing comes, or that all is well."""
        self._keeper.say(trouble)


class _Connection:
    """One connection, from its beginning until it is lost."""

    def __init__(self, feed: MqttFeed) -> None:
        self._feed = feed
        self._ended = threading.Event()
        self._answered = threading.Event()
        self._trouble = "MQTT does not answer: the connection was lost"
        self.is_subscribed = False
        """Whether messages come."""
        self.is_refused = False
        """Whether the broker has said no."""

    def serve(self, closing: threading.Event) -> str:
        """Take messages until the connection is lost, and return why it is.

        Raises:
            OSError: nobody answers.
        """
        client = self._feed.make_client()
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        place = urlsplit(self._feed.source.url)
        assert place.hostname is not None, "the URL was checked"
        client.connect(
            place.hostname,
            place.port or (8883 if self._feed.source.is_tls else 1883),
            keepalive=KEEPALIVE_S,
            clean_start=False,
            properties=self._properties(),
        )
        client.loop_start()
        try:
            if not self._answered.wait(2 * CONNECT_TIMEOUT_S):
                return "MQTT does not answer: the broker takes connections and says nothing"
            while not self._ended.wait(0.2) and not closing.is_set():
                pass
            return self._trouble
        finally:
            client.disconnect()
            client.loop_stop()

    def _properties(self) -> Any:
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        make: Any = Properties
        found = make(PacketTypes.CONNECT)
        found.SessionExpiryInterval = min(round(self._feed.source.session_expiry), 0xFFFF_FFFF)
        found.ReceiveMaximum = RECEIVE_MAX
        return found

    def _on_connect(
        self, client: "Client", data: object, flags: "ConnectFlags", reason: "ReasonCode", properties: object
    ) -> None:
        if reason.is_failure:
            self._refuse(f"MQTT refuses the connection: {reason}")
            return
        from paho.mqtt.subscribeoptions import SubscribeOptions

        if not flags.session_present:
            self._feed.forget_session()
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        client.subscribe([(topic, options) for topic in self._feed.source.topics])

    def _on_subscribe(
        self, client: "Client", data: object, mid: int, reasons: "list[ReasonCode]", properties: object
    ) -> None:
        for topic, reason in zip(self._feed.source.topics, reasons, strict=False):
            if reason.is_failure:
                self._refuse(f"MQTT refuses the topic {topic!r}: {reason}")
                return
        self.is_subscribed = True
        self._feed.say(None)
        self._feed.has_begun.set()
        self._answered.set()

    def _on_disconnect(
        self, client: "Client", data: object, flags: "DisconnectFlags", reason: "ReasonCode", properties: object
    ) -> None:
        if not self.is_refused:
            self._trouble = f"MQTT does not answer: {reason}"
        self._ended.set()
        self._answered.set()

    def _on_message(self, client: "Client", data: object, message: "MQTTMessage") -> None:
        self._feed.take(client, message)

    def _refuse(self, trouble: str) -> None:
        self._trouble, self.is_refused = trouble, True
        self._ended.set()
        self._answered.set()
