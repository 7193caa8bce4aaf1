"""A ZeroMQ peer by libzmq, for the tests: peer.py TYPE METHOD ADDRESS [OPTION=VALUE ...]

It prints {"bound": ADDRESS} or {"connected": ADDRESS}, then takes one command a line and answers each with a line of JSON:
  ["send", FRAME, ...]   sends; a FRAME is a text, or a number of bytes, which count up from 0
  ["flood", N, BYTES]    sends N messages of at least so many bytes, which begin with their number and a space
  ["recv", N, MS]        receives up to N messages, waiting up to MS for each: [[[length, start, checksum], ...], ...]
"""
import json, sys, zlib
import zmq

kind, method, address = sys.argv[1:4]
context = zmq.Context()
socket = context.socket(getattr(zmq, kind))
socket.linger = 0
for option in sys.argv[4:]:
    name, value = option.split("=", 1)
    if name == "SUBSCRIBE":
        socket.setsockopt(zmq.SUBSCRIBE, value.encode())
    else:
        socket.setsockopt(getattr(zmq, name), int(value))


def say(answer):
    print(json.dumps(answer), flush=True)


def frame(spec):
    return spec.encode() if isinstance(spec, str) else (bytes(range(256)) * (spec // 256 + 1))[:spec]


getattr(socket, method)(address)
say({"bound": socket.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip("\0")} if method == "bind" else {"connected": address})
for line in sys.stdin:
    command, *args = json.loads(line)
    if command == "send":
        socket.send_multipart([frame(spec) for spec in args])
        say("sent")
    elif command == "flood":
        for i in range(args[0]):
            socket.send((str(i) + " ").encode().ljust(args[1], b"x"))
        say("sent")
    elif command == "recv":
        got = []
        while len(got) < args[0] and socket.poll(args[1]):
            got.append([[len(f), f[:16].decode("latin-1"), zlib.crc32(f)] for f in socket.recv_multipart()])
        say(got)
