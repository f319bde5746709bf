"""Pictures in shared memory: they arrive as sent, stay while they are held, and leave nothing behind."""

import os
import socket
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_batch.media.ring import Receiver, Sender


def pair(ring_bytes=1 << 16):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return Sender(theirs, ring_bytes), Receiver(ours)


def picture(number, shape=(16, 16, 3)):
    return np.random.default_rng(number).integers(0, 256, shape).astype(np.uint8)


def send_all(sender, pictures):
    def work():
        for number, image in enumerate(pictures):
            sender.send({"kind": "frame", "number": number}, image)
        sender.send({"kind": "end"})

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def received(receiver, hold=True):
    found = []
    while True:
        message, image = receiver.receive(20.0)
        if message["kind"] == "end":
            return found
        found.append((message["number"], image if hold else image.copy()))


@pytest.mark.parametrize("hold", [True, False])
def test_many_times_the_ring_arrives_whole_and_in_order(hold):
    sender, receiver = pair()
    pictures = [picture(i) for i in range(400)]  # 307 kB through 64 kB
    thread = send_all(sender, pictures)
    found = received(receiver, hold)
    thread.join()
    assert [number for number, _ in found] == list(range(400))
    for (_, image), expected in zip(found, pictures, strict=True):
        np.testing.assert_array_equal(image, expected)


@settings(max_examples=20, deadline=None)
@given(shapes=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90), st.just(3)), min_size=1, max_size=30))
def test_pictures_of_any_sizes_arrive_whole(shapes):
    sender, receiver = pair()
    pictures = [picture(i, shape) for i, shape in enumerate(shapes)]
    thread = send_all(sender, pictures)
    found = received(receiver)
    thread.join()
    for (_, image), expected in zip(found, pictures, strict=True):
        np.testing.assert_array_equal(image, expected)


def test_a_view_keeps_its_slot():
    sender, receiver = pair(ring_bytes=4 * 768)
    send_all(sender, [picture(i) for i in range(40)])
    _, image = receiver.receive(20.0)
    corner = image[:4, :4]
    del image
    for _ in range(39):
        receiver.receive(20.0)
    np.testing.assert_array_equal(corner, picture(0)[:4, :4])


def test_what_was_received_outlives_both_ends():
    sender, receiver = pair()
    send_all(sender, [picture(0)]).join()
    _, image = receiver.receive(20.0)
    receiver.close()
    sender._connection.close()
    del sender, receiver
    np.testing.assert_array_equal(image, picture(0))
    image[:] = 0  # it belongs to who received it


def test_a_turned_picture_is_sent_as_it_looks():
    sender, receiver = pair()
    turned = picture(0, (8, 20, 3))[::-1].transpose(1, 0, 2)
    send_all(sender, [turned]).join()
    np.testing.assert_array_equal(receiver.receive(20.0)[1], turned)


def test_the_sender_waits_for_a_slow_receiver_with_few_pictures_ahead():
    sender, receiver = pair(ring_bytes=8 * 768)
    thread = send_all(sender, [picture(i) for i in range(100)])
    receiver.receive(20.0)
    thread.join(0.2)
    assert thread.is_alive()  # at most 8 of 100 are on their way
    received(receiver)
    thread.join()


def test_silence_and_a_lost_sender_are_told_apart():
    sender, receiver = pair()
    with pytest.raises(TimeoutError):
        receiver.receive(0.01)
    sender._connection.close()
    with pytest.raises(EOFError):
        receiver.receive(20.0)


def test_a_lost_receiver_ends_the_sender():
    sender, receiver = pair(ring_bytes=4 * 768)
    receiver.close()
    with pytest.raises(ConnectionError):
        sender.send({"kind": "end"})


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="reads /proc")
def test_no_descriptor_is_left():
    before = len(os.listdir("/proc/self/fd"))
    sender, receiver = pair()
    send_all(sender, [picture(i, (16 * (i + 1), 16, 3)) for i in range(6)]).join()  # six rings
    found = received(receiver)
    receiver.close()
    sender._connection.close()
    del found, sender, receiver
    assert len(os.listdir("/proc/self/fd")) == before
