"""`sendpoint bounce` as a mail server runs it: what was really sent comes back, and how it ended
is told by an exit code that mail servers understand."""

import email
import json
import os
import subprocess
from uuid import uuid4

import pytest

from adapters.doubles import smtp
from tests import servers
from tests.adapters import returned
from tests.cli import processes
from worker import dispatch, intake, runtime, settings, store, vault, wire
from worker import loop as loop_

STREAM = "arn:aws:kinesis:eu-central-1:123456789012:stream/events"
TO = "nina@example.net"
RETURN_PATH = "bounces@shop.example"
REQUEST = {
    "Endpoints": {"e": {}},
    "MessageConfiguration": {
        "EmailMessage": {
            "SimpleEmail": {"Subject": {"Data": "Your order"}, "TextPart": {"Data": "Here"}}
        }
    },
}


def bounce(mail, *arguments, cwd, **settings):
    """Pipe a message, as bytes."""
    return subprocess.run(
        [*processes.SENDPOINT, "bounce", *arguments],
        cwd=cwd,
        env=processes.environment(**settings),
        input=mail,
        capture_output=True,
        check=False,
        timeout=processes.SECONDS,
    )


class Shop:
    """An application that sends letters by a relay, with an address for the bounces of each."""

    def __init__(self, directory, **settings_):
        self.directory, self.settings = directory, settings_
        self.runtime = runtime.open_runtime(settings.Settings(**settings_))
        self.db = self.runtime.db
        store.upgrade(self.db)
        self.application = store.create_application(self.db, "shop").id
        self.loop = loop_.Loop("shop")
        self.relay = smtp.SmtpDouble()
        self.loop.run(self.relay.start())
        given = {"host": self.relay.host, "port": self.relay.port, "security": "none"}
        given |= {"username": smtp.USERNAME, "password": smtp.PASSWORD}
        given |= {"return_path": RETURN_PATH, "verp": True, "from_address": "hi@shop.example"}
        store.set_channel(self.db, self.application, "EMAIL", adapter="smtp", settings=given)
        store.put_event_stream(self.db, self.application, destination=STREAM, role="r", by=None)
        endpoint = wire.convert({"Address": TO, "ChannelType": "EMAIL"}, wire.EndpointRequest)
        store.update_endpoints(self.db, self.application, [("e", endpoint)])

    def send(self):
        """Have the relay take a letter: our id for it, and what it took."""
        request = wire.convert(REQUEST, wire.MessageRequest)
        request_id = intake.accept(self.runtime, self.application, request).request_id
        (message,) = store.histories(self.db, request_id)
        self.loop.run(dispatch.deliver(self.runtime, message.id))
        assert self.message(message.id).delivery_status == "SUCCESSFUL"
        return message.id, self.relay.taken[-1]

    def message(self, id_):
        return store.history(self.db, id_)

    def gets(self, mail, *arguments):
        return bounce(mail, *arguments, cwd=self.directory, **self.settings)

    @property
    def endpoint(self):
        one = store.endpoints(self.db, self.application, ["e"])["e"]
        return one.EndpointStatus, one.OptOut

    def told(self):
        return [json.loads(one.record)["event_type"] for one in store.untold(self.db, limit=100)]

    def close(self):
        self.loop.run(dispatch.aclose(self.runtime))
        self.loop.run(self.relay.stop())
        self.loop.close()
        self.runtime.close()


@pytest.fixture
def shop(database_url, tmp_path):
    key = vault.new_key()
    events = f"file://{tmp_path}/events.jsonl"
    shop = Shop(tmp_path, database_url=database_url, secret_keys=key, events=events)
    yield shop
    shop.close()


def test_from_the_relay_and_back(shop):
    id_, taken = shop.send()
    # The relay's own, for what it took: it knows the envelope and the content, and nothing else.
    assert taken.sender == returned.verp(id_)
    own_id = email.message_from_bytes(taken.content)["Message-ID"]
    mail = returned.postfix(uuid4()).replace(returned.verp().encode(), b"x@shop.example")
    said = shop.gets(mail, f"--recipient={taken.sender}")
    assert (said.returncode, said.stderr) == (0, b"")
    assert said.stdout == f"Message {id_}: PERMANENT_FAILURE 5.1.1\n".encode()
    message = shop.message(id_)
    assert (message.delivery_status, message.status_code) == ("PERMANENT_FAILURE", 550)
    assert f"<{message.message_id}>" == own_id
    assert shop.endpoint == ("INACTIVE", "NONE")
    taken = ["_email.send", "_email.delivered"]
    assert shop.told() == [*taken, "_email.hardbounce"]
    why = processes.run("why", str(id_), cwd=shop.directory, **shop.settings).stdout
    assert "settled" in why
    assert "Bounced: 550 5.1.1 <***>: Recipient address rejected: User unknown" in why
    again = shop.gets(mail, "--recipient", returned.verp(id_))
    assert (again.returncode, again.stderr) == (0, b"")
    assert b"which changes nothing" in again.stdout
    assert shop.told() == [*taken, "_email.hardbounce"]


def test_a_complaint_and_a_report_with_the_id_alone(shop):
    id_, _ = shop.send()
    large = returned.complaint(id_, mail_from=False) + b"=" * (3 * 1024 * 1024)
    said = shop.gets(large)
    assert (said.returncode, said.stderr) == (0, b"")
    assert said.stdout == f"Message {id_}: complaint (abuse)\n".encode()
    assert shop.message(id_).delivery_status == "SUCCESSFUL"
    assert shop.endpoint == ("ACTIVE", "ALL")
    assert shop.told()[-1] == "_email.complaint"
    why = processes.run("why", str(id_), cwd=shop.directory, **shop.settings).stdout
    assert "complained of" in why
    # Without the keys that open the channel's settings, too: it is none of the mail server's.
    poor = {**shop.settings, "secret_keys": ""}
    said = bounce(returned.out_of_office(id_), cwd=shop.directory, **poor)
    assert said.returncode == 0
    told = said.stderr.decode()
    assert (
        told == "Nothing was changed: it is no report, but an automatic reply or something else\n"
    )
    said = bounce(returned.postfix(), cwd=shop.directory, **poor)
    assert said.returncode == 0
    assert said.stderr == b"Nothing was changed: it is about no message that was sent from here\n"


def test_what_cannot_be_done_now_is_kept_by_the_mail_server(tmp_path):
    away = f"postgresql://sendpoint@127.0.0.1:{servers.free_port()}/sendpoint"
    for wrong, arguments in (
        ({"database_url": away}, ()),
        ({"database_url": f"sqlite:///{tmp_path}/none.sqlite"}, ()),
        ({"lease": "soon"}, ()),
        ({"database_url": away}, ("--recipients", TO)),
    ):
        said = bounce(returned.postfix(), *arguments, cwd=tmp_path, **wrong)
        assert said.returncode == os.EX_TEMPFAIL == 75, said
        assert said.stderr.startswith(b"Error: ")
        assert TO.encode() not in said.stderr
