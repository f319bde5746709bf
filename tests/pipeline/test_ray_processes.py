"""An embedded Ray works without the processes that nothing asks for, and without listening beyond loopback."""

import psutil

from fer_batch.pipeline.engine import ray_engine


def test_an_embedded_ray_works_with_what_it_needs():
    with ray_engine(1, 100) as ray:
        names = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
        assert ray.get(ray.remote(lambda: 2).remote()) == 2
        for needed in ("gcs_server", "raylet"):
            assert any(needed in name for name in names), names
        for left_out in ("dashboard.py", "monitor.py", "log_monitor.py"):
            assert not any(left_out in name for name in names), names
