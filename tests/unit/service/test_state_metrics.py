"""The gauges of the state of the service."""

from prometheus_client import CollectorRegistry, generate_latest

from sam_backend.service import state_metrics
from sam_backend.service.state_metrics import StateMetrics
from waiting import wait_for


def test_gauges_of_a_state_that_cannot_be_read_any_more_are_gone_and_the_log_says_so_once(client, monkeypatch, caplog):
    values, registry, failures = client.get("/status").json(), CollectorRegistry(), []
    is_broken = True

    def read():
        if is_broken:
            failures.append(1)
            raise ValueError("a bug")
        return values

    def shown():
        return b"sam_inspect_model_ready" in generate_latest(registry)

    state = StateMetrics(registry, read)
    is_broken = False
    state.update()
    assert shown()
    is_broken = True
    monkeypatch.setattr(state_metrics, "_EVERY", 0.01)
    state.start()
    wait_for(lambda: len(failures) > 2)
    assert not shown()
    is_broken = False
    wait_for(shown)
    state.stop()
    assert caplog.text.count("cannot be read for its metrics") == 1
