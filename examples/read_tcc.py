#!/usr/bin/env python3
"""Prints the events of a recording as JSON lines: read_tcc.py FILE. See docs/recording-format.md.

Needs Python 3.9, and for zstd Python 3.14, the module `zstandard` or the program `zstd`. Fields that are computed from several
members are left out. Checksums (XXH3, which Python does not have) are not tested."""
import datetime, importlib, ipaddress, json, shutil, struct, subprocess, sys

def unzstd(payload):
    for module in ("compression.zstd", "zstandard"):
        try:
            return importlib.import_module(module).decompress(payload)
        except ImportError:
            pass
    if not shutil.which("zstd"):
        sys.exit("read_tcc.py needs Python 3.14, the module zstandard or the program zstd")
    return subprocess.run(["zstd", "-dcq"], input=payload, capture_output=True, check=True).stdout


HEADER, DATA, ADDITIONS, CLOCK = 1, 2, 3, 5


def frames(file):
    """Type, number of records and plain payload of each frame."""
    start = file.read(16)
    if start[:8] != b"TCCREC\r\n" or struct.unpack_from("<H", start, 8) != (1,):
        sys.exit("not a recording of format version 1")
    while len(head := file.read(48)) == 48:
        magic, of, codec, stored, records = struct.unpack_from("<4sBBxxI4xI", head)
        payload = file.read(stored)
        if len(payload) < stored:
            break  # its writer was killed
        if magic != b"TCF\x01":
            sys.exit("a frame is damaged")
        yield of, records, unzstd(payload) if codec == 1 else payload


def varint(data, at):
    value = shift = 0
    while data[at] > 127:
        value, at, shift = value | (data[at] & 127) << shift, at + 1, shift + 7
    return value | data[at] << shift, at + 1


def records(plain, count, order):
    """The records of a data frame, each as bytes."""
    lengths = struct.unpack_from("<4I", plain)
    ctl, time, mask, code, values = (16 + sum(lengths[:i]) for i in range(5))
    identities, shapes, mono_ns, bits, filled = [], {}, 0, 0, 0
    for _ in range(count):
        step, time = varint(plain, time)
        mono_ns += step >> 1 ^ -(step & 1)
        number, ctl = varint(plain, ctl)
        if number:
            head, body = identities[number - 1]
        else:
            head, ctl = plain[ctl:ctl + 48], ctl + 48
            length = int.from_bytes(head[46:48], order)
            body = bytearray(shapes.get(head[44:48], bytes(length - 56)))
            identities.append((head, body))
        shapes[head[44:48]] = body
        groups = (len(body) + 31) // 32
        present, mask = plain[mask:mask + (groups + 7) // 8], mask + (groups + 7) // 8
        for group in (g for g in range(groups) if present[g // 8] >> g % 8 & 1):
            changed, mask = plain[mask], mask + 1
            for lane in (group * 32 + 4 * i for i in range(8) if changed >> i & 1):
                if not filled:
                    bits, filled, code = int.from_bytes(plain[code:code + 8], "little"), 64, code + 8
                length, bits, filled = (bits & 3) + 1, bits >> 2, filled - 2
                step, values = int.from_bytes(plain[values:values + length], "little"), values + length
                new = int.from_bytes(body[lane:lane + 4], order) + (step >> 1 ^ -(step & 1))
                body[lane:lane + 4] = (new & 0xFFFFFFFF).to_bytes(4, order)
        yield mono_ns.to_bytes(8, order) + head + bytes(body)


class Reader:
    """Turns records into values, by what the file says of them."""

    def header(self, header):
        self.order = header["byte_order"]
        self.shapes = {(shape["number"], shape["len"]): shape for shape in header["shapes"]}
        self.enums = header["environment"]["types"]
        self.clock = [(0, header["environment"]["clock"]["wall_offset_ns"])]
        self.symbols = {}

    def number(self, record, at):
        return int.from_bytes(record[at["offset"]:at["offset"] + at["width"]], self.order, signed=at.get("signed", False))

    def holds(self, record, condition):
        return (self.number(record, condition) & condition["mask"] == condition["value"]) == condition["equal"]

    def wall(self, mono_ns):
        ns = mono_ns + [offset for after, offset in self.clock if after < mono_ns or not after][-1]
        time = datetime.datetime.fromtimestamp(ns // 10**9, datetime.timezone.utc)
        return f"{time:%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09}Z"

    def code(self, address):
        start = max((known for known in self.symbols if known <= address), default=0)
        return f"{self.symbols[start]}+{address - start:#x}" if self.symbols.get(start) else f"{address:#x}"

    def name(self, names, number):
        if "list" in names:
            return names["list"][number] if number < len(names["list"]) else None
        if "flags" in names:
            return "|".join(flag for bit, flag in enumerate(names["flags"]) if number >> bit & 1)
        return (names["pairs"] if "pairs" in names else self.enums[names["kernel"]]).get(str(number))

    def value(self, record, column):
        if "constant" in column:
            return column["constant"]
        if not all(self.holds(record, condition) for condition in column.get("when", [])):
            return None
        form, raw = column.get("form"), record[column["offset"]:column["offset"] + column["width"]]
        unset = "unset" in column and ("unset_if" not in column or self.holds(record, column["unset_if"]))
        if form == "text":
            return raw.split(b"\0")[0].decode() or (None if "unset" in column else "")
        if form == "address":
            address = ipaddress.IPv6Address(raw).ipv4_mapped or ipaddress.IPv6Address(raw)
            return None if unset and int(address) == 0 else str(address)
        number = self.number(record, column)
        if not column.get("signed"):
            number = number >> column.get("shift", 0) & column.get("mask", 2**64 - 1)
        if unset and number == column["unset"]:
            return None
        if "names" in column:
            return self.name(column["names"], int(number != 0) if form == "flag" else number)
        if form == "flag":
            return number != 0
        if form == "code" or "clock" in column:
            return self.code(number) if form else self.wall(number)
        return number / 2**column["fraction_bits"] if "fraction_bits" in column else number // column.get("divide", 1)

    def event(self, record):
        shape = self.shapes[record[52], len(record)]
        columns = (column for column in shape["columns"] if "computed" not in column)
        return {"type": shape["event_type"], **{of["name"]: self.value(record, of) for of in columns}}


if len(sys.argv) != 2:
    sys.exit(__doc__)
reader = Reader()
for of, count, plain in frames(open(sys.argv[1], "rb")):
    if of == DATA:
        for record in records(plain, count, reader.order):
            print(json.dumps(reader.event(record)))
    elif of == HEADER:
        reader.header(json.loads(plain))
    elif of == ADDITIONS:
        added = json.loads(plain).get("symbols", [])
        reader.symbols |= {address: name for address, name in added if name or address not in reader.symbols}
    elif of == CLOCK:
        reader.clock += [(sample["after_ns"], sample["wall_offset_ns"]) for sample in json.loads(plain)]
