"""What script/soak does, with the programs given: tcc-trace, traffic, seconds, and connections a second at least."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

PORT = 7070
EXPORT_PORT = 9435
# What may come on top of what was there after the first part: memory in kB, and as a share.
SLACK_KB, SLACK = 1024, 0.10


class Failed(Exception):
    pass


def check(condition, what):
    if not condition:
        raise Failed(what)


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


class Traced:
    """A running tcc-trace, and what it takes over time."""

    def __init__(self, name, program, args, directory, writes_to=None):
        self.name, self.writes_to = name, writes_to
        self.log = os.path.join(directory, f"{name}.stderr")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([program, *args], stdout=subprocess.DEVNULL, stderr=log)
        self.samples = []

    def wait_ready(self, line="; Ctrl-C ends it"):
        end = time.monotonic() + 60
        while line not in read(self.log):
            check(self.process.poll() is None, f"{self.name} ended: {read(self.log)}")
            check(time.monotonic() < end, f"{self.name} is not ready: {read(self.log)}")
            time.sleep(0.05)

    def sample(self):
        pid = self.process.pid
        check(self.process.poll() is None, f"{self.name} ended: {read(self.log)}")
        anon = int(re.search(r"RssAnon:\s+(\d+)", read(f"/proc/{pid}/status"))[1])
        infos = [read(f"/proc/{pid}/fdinfo/{fd}") for fd in os.listdir(f"/proc/{pid}/fdinfo")]
        maps = {}
        for info in infos:
            number = re.search(r"^map_id:\s*(\d+)", info, re.M)
            if number:
                maps[number[1]] = int(re.search(r"^memlock:\s*(\d+)", info, re.M)[1]) // 1024
        written = len(os.listdir(self.writes_to)) if self.writes_to else 0
        sample = {"anon_kb": anon, "maps_kb": sum(maps.values()), "open_files": len(infos), "files": written}
        self.samples.append(sample)

    def check_growth(self):
        """The most of the last third against the most of the second one: the first is for warming up."""
        third = len(self.samples) // 3
        check(third >= 2, "too few samples: run it for longer")
        for value in self.samples[0]:
            before, after = (
                max(sample[value] for sample in part)
                for part in (self.samples[third : 2 * third], self.samples[2 * third :])
            )
            slack = SLACK_KB + SLACK * before if value.endswith("_kb") else 2
            print(f"  {self.name:<10} {value:<10} {before:>8} then {after:>8}")
            check(after <= before + slack, f"{self.name}: {value} grew from {before} to {after}")

    def end(self, number=signal.SIGTERM, status=0):
        self.process.send_signal(number)
        found = self.process.wait(timeout=60)
        check(found == status, f"{self.name}: status {found}: {read(self.log)}")


def lines(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def check_account(account):
    """Every event is accounted for."""
    printed = ["emitted", "filtered", "sampled_out", "rate_limited", "lost", "malformed"]
    aggregated = ["aggregated", "overflow", "filtered", "lost"]
    for counts, parts in [(account, printed), (account.get("aggregate"), aggregated)]:
        if counts and "seen" in counts:
            sums = [counts, *counts["event_types"].values()]
            for each in sums:
                check(each["seen"] == sum(each[part] for part in parts), f"does not add up: {each}")


def metric(text, name, labels):
    """The sum of the samples of that name with that label."""
    found = re.findall(rf"^{name}(?:{{([^}}]*)}})? (\S+)", text, re.M)
    return sum(float(value) for given, value in found if labels in given)


def scrape():
    url = f"http://127.0.0.1:{EXPORT_PORT}/metrics"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


def cgroup2(directory):
    """Where the v2 hierarchy is mounted, for a cgroup of our own."""
    for line in read("/proc/mounts").splitlines():
        if line.split()[2] == "cgroup2":
            return line.split()[1]
    path = os.path.join(directory, "cgroup2")
    os.mkdir(path)
    subprocess.run(["mount", "-t", "cgroup2", "none", path], check=True)
    return path


def full_disk(program, directory):
    """A recording that finds no room ends with the reason, and can be read."""
    small = os.path.join(directory, "small")
    os.mkdir(small)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    try:
        path = os.path.join(small, "a.tcc")
        args = [program, "events", "probe,state", "-a", "-w", path, "--port", str(PORT), "-d", "60s"]
        run = subprocess.run(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        check(run.returncode == 1 and "No space left" in run.stderr, f"full disk: {run}")
        info = subprocess.run([program, "info", "-o", "jsonl", path], capture_output=True, text=True)
        first = json.loads(info.stdout.splitlines()[0])
        check(first["records"] > 0, f"full disk: {info.stdout}")
        print(f"  full disk: {first['records']} events kept, then: {run.stderr.splitlines()[-1]}")
    finally:
        subprocess.run(["umount", small], check=True)


def run(program, traffic, seconds, least_rate, directory):
    def path(name):
        return os.path.join(directory, name)

    port = ["--lport", str(PORT)]
    flight = path("flight")
    os.mkdir(flight)
    traced = {
        "observe": ["observe", "--by", "lport", "-i", "2s", *port, "-o", f"jsonl={path('observe')}"],
        # With the clients' side, as the listener's sockets are of its own cgroup.
        "cgroups": ["observe", "--by", "cgroup", "-i", "2s", "--port", str(PORT), "-o", f"jsonl={path('cgroups')}"],
        "flight": ["record", "--flight", "10s", "-w", os.path.join(flight, "f.tcc"), *port],
        "stream": ["events", "state,life,reset_sent,drop", "-o", f"jsonl={path('stream')}", "--rate", "500/s", *port],
    }
    # SIGHUP has it read the file again.
    with open(path("export.toml"), "w") as file:
        file.write(f'listen = ["127.0.0.1:{EXPORT_PORT}"]\nlabels = ["lport"]\nlport = [{PORT}]\n')
    traced["export"] = ["export", "--config", path("export.toml")]
    cgroup, clients, running = os.path.join(cgroup2(directory), "tcc-soak"), [], {}
    server = subprocess.Popen([traffic, "server", "--listen", f"0.0.0.0:{PORT}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        server.stdout.readline()
        for name, args in traced.items():
            running[name] = Traced(name, program, args, directory, flight if name == "flight" else None)
        for name, each in running.items():
            each.wait_ready("metrics at " if name == "export" else "; Ctrl-C ends it")
        # Half of the connections are of a cgroup that goes away.
        os.makedirs(cgroup, exist_ok=True)
        join_cgroup = lambda: open(f"{cgroup}/cgroup.procs", "w").write("0")
        churn = [traffic, "churn", "--to", f"127.0.0.1:{PORT}", "--parallel", "2", "--seconds"]
        first = subprocess.Popen([*churn, str(seconds / 2)], stdout=subprocess.PIPE, text=True, preexec_fn=join_cgroup)
        whole = subprocess.Popen([*churn, str(seconds)], stdout=subprocess.PIPE, text=True)
        clients += [first, whole]
        start, samples, scrapes = time.monotonic(), 0, 0
        while whole.poll() is None:
            # Twenty samples, and each time a signal.
            time.sleep(seconds / 20)
            for each in running.values():
                each.sample()
            samples += 1
            running["stream"].process.send_signal(signal.SIGUSR1)
            if samples == 6:
                running["flight"].process.send_signal(signal.SIGUSR2)
            running["export"].process.send_signal(signal.SIGHUP)
            scrapes += len(scrape()) > 0
            if samples == 8:
                full_disk(program, directory)
            if first is not None and first.poll() is not None:
                halves = [json.loads(first.communicate()[0])]
                first = None
                os.rmdir(cgroup)
        check(first is None, "the cgroup did not go away while the other half was traced")
        halves.append(json.loads(whole.communicate()[0]))
        opened = sum(half["opened"] for half in halves)
        rate = opened / (time.monotonic() - start)
        print(f"  {opened} connections, {rate:.0f} a second, {scrapes} scrapes")
        check(not any(half["failed"] for half in halves), f"{halves}")
        check(rate >= least_rate, f"{rate:.0f} connections a second are too few")
        # The last of them close.
        quiet = time.monotonic() + 5
        while time.monotonic() < quiet and f":{PORT:04X} " in read("/proc/net/tcp").replace(" 06 ", ""):
            time.sleep(0.1)
        # Within half a second there are no new values.
        time.sleep(0.6)
        text = scrape()
        for each in running.values():
            each.check_growth()
            each.end()
        # The server's side of each connection.
        totals = lines(path("observe"))
        accepted = sum(row["value"] for row in totals if row.get("label") == "passive_opens")
        check(accepted == opened, f"observe has {accepted} of {opened} connections")
        in_cgroup = sum(
            row["value"]
            for row in lines(path("cgroups"))
            if row.get("label") == "active_opens" and (row["key"]["cgroup"] or "").endswith("/tcc-soak")
        )
        check(in_cgroup == halves[0]["opened"], f"the cgroup has {in_cgroup} of {halves[0]['opened']} connections")
        stats = sum(line["type"] == "stats" for line in lines(path("stream")))
        check(stats == samples, f"the stream answered {stats} of {samples} signals")
        log = read(running["export"].log)
        reloaded = log.count("note: the configuration was read again")
        check(reloaded == samples, f"export answered {reloaded} of {samples} signals: {log}")
        exported = metric(text, "tcctrace_connections_opened_total", 'open="passive_opens"')
        check(exported == opened, f"export has {exported} of {opened} connections")
        for name in ("observe", "cgroups", "stream"):
            account = [line for line in lines(path(name)) if line["type"] in ("stats", "end")]
            check(account and account[-1]["type"] == "end", f"{name} has no end")
            check_account(account[-1])
        sealed = [name for name in os.listdir(flight) if "signal" in name]
        check(len(sealed) >= 1, f"nothing was sealed: {os.listdir(flight)}")
        check(len(os.listdir(flight)) <= 3, f"files are left: {os.listdir(flight)}")
    finally:
        for process in [server, *clients, *(each.process for each in running.values())]:
            process.kill()
            process.wait()
        if os.path.isdir(cgroup):
            try:
                os.rmdir(cgroup)
            except OSError:
                pass


def main():
    program, traffic = (os.path.abspath(path) for path in sys.argv[1:3])
    seconds, least_rate = (float(number) for number in sys.argv[3:5])
    directory = tempfile.mkdtemp(prefix="tcc-soak-")
    try:
        run(program, traffic, seconds, least_rate, directory)
    except Failed as failed:
        sys.exit(f"soak: {failed}")
    finally:
        if os.path.ismount(os.path.join(directory, "cgroup2")):
            subprocess.run(["umount", os.path.join(directory, "cgroup2")], check=True)
        shutil.rmtree(directory, ignore_errors=True)
    print("soak: nothing grew, and all counters add up")


main()
