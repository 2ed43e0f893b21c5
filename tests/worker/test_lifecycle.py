"""What providers say of addresses reaches the endpoints that have them, within reason."""

import dataclasses

import pytest

from adapters.contract import DeliveryStatus, Fault, Outcome, permanent, successful
from tests.worker.flow import Backend
from worker import lifecycle, store, wire

DEAD = permanent(410, "gone", fault=Fault.RECIPIENT, dead_address=True)


@pytest.fixture
def backend(database_url):
    backend = Backend(database_url)
    yield backend
    backend.close()


def register(backend, name, address, channel="CUSTOM"):
    request = wire.EndpointRequest(Address=address, ChannelType=wire.ChannelType(channel))
    store.put_endpoint(backend.runtime.db, backend.application, name, request)


def endpoint(backend, name):
    return store.endpoints(backend.runtime.db, backend.application, [name])[name]


def send(backend, outcome, address="t", **recipients):
    backend.adapter.says(address, outcome)
    backend.accept(Addresses={}, **recipients)
    backend.settle()


def test_a_dead_address_makes_its_endpoints_inactive(backend):
    register(backend, "e1", "t")
    register(backend, "e2", "t")
    register(backend, "e3", "other")
    backend.adapter.says("t", DEAD)
    backend.accept(Addresses={}, Endpoints={"e1": {}})
    backend.settle()
    assert endpoint(backend, "e1").EndpointStatus == "INACTIVE"
    assert endpoint(backend, "e2").EndpointStatus == "INACTIVE"
    assert endpoint(backend, "e3").EndpointStatus == "ACTIVE"


@pytest.mark.parametrize(("age", "status"), [(60, "INACTIVE"), (-60, "ACTIVE")])
def test_an_address_registered_since_it_died_is_alive(backend, age, status):
    register(backend, "e1", "t")
    died = backend.clock.time.timestamp() + age
    send(backend, dataclasses.replace(DEAD, dead_since=died), Endpoints={"e1": {}})
    assert endpoint(backend, "e1").EndpointStatus == status


@pytest.mark.parametrize("fault", [Fault.MESSAGE, Fault.CREDENTIALS])
def test_other_failures_say_nothing_of_the_address(backend, fault):
    register(backend, "e1", "t")
    send(backend, permanent(400, "no", fault=fault), Endpoints={"e1": {}})
    assert endpoint(backend, "e1").EndpointStatus == "ACTIVE"


def test_an_updated_token_replaces_the_address(backend):
    register(backend, "e1", "t")
    outcome = dataclasses.replace(successful(), updated_token="t2")
    send(backend, outcome, Endpoints={"e1": {}})
    assert endpoint(backend, "e1").Address == "t2"


def test_an_opt_out_holds_for_endpoints_and_for_the_bare_address(backend):
    register(backend, "e1", "+1", "SMS")
    out = Outcome(status=DeliveryStatus.OPT_OUT, status_code=400, fault=Fault.RECIPIENT)
    backend.adapter.says("+1", out)
    backend.accept("+1", channel="SMS", MessageConfiguration={"SMSMessage": {"Body": "hi"}})
    backend.settle()
    assert endpoint(backend, "e1").OptOut == "ALL"
    request_id = backend.accept("+1", channel="SMS")
    assert backend.results(request_id)["+1"].delivery_status == "OPT_OUT"
    assert len(backend.adapter.sent) == 1


def test_when_too_many_look_dead_none_is_deactivated(backend, caplog):
    for number in range(100):
        register(backend, f"e{number}", f"t{number}")
        backend.adapter.says(f"t{number}", DEAD)
    backend.accept(Addresses={}, Endpoints={f"e{number}": {} for number in range(100)})
    backend.settle()
    statuses = [endpoint(backend, f"e{number}").EndpointStatus for number in range(100)]
    assert statuses.count("INACTIVE") == 10
    assert "look dead" in caplog.text


def test_a_few_dead_among_many_are_believed():
    guard = lifecycle.Guard()
    said = [guard.believes("app", "GCM", dead=number % 10 == 0) for number in range(1000)]
    assert said == [number % 10 == 0 for number in range(1000)]
    assert not guard.believes("app", "APNS", dead=False)
