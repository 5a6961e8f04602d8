"""The gauges of the state of the service."""

from prometheus_client import CollectorRegistry, generate_latest

from sam_backend.service import state_metrics
from sam_backend.service.state_metrics import StateMetrics
from waiting import wait_for


def test_gauges_of_a_state_that_cannot_be_read_any_more_are_gone_and_the_log_says_so_once(client, monkeypatch, caplog):
    values, readings, registry = client.get("/status").json(), [], CollectorRegistry()

    def read():
        readings.append(len(readings))
        if 1 <= readings[-1] <= 3:
            raise ValueError("a bug")
        return values

    def shown():
        return b"sam_inspect_model_ready" in generate_latest(registry)

    state = StateMetrics(registry, read)
    state.update()
    assert shown()
    monkeypatch.setattr(state_metrics, "_EVERY", 0.05)
    state.start()
    wait_for(lambda: not shown())
    wait_for(shown)
    state.stop()
    assert caplog.text.count("cannot be read for its metrics") == 1
