"""`make bench`: what the system costs, as ratios to a bare limit taken in the same run on the same machine.

    make bench                        all subjects, some 12 minutes; writes bench/RESULTS.md
    make bench ARGS=--quick           about a minute, rougher; writes nothing
    make bench ARGS="--only gateway"  one subject: gateway, path, projector, replay, rpc
    make bench ARGS="--quick --profile"   also where the time of gateway, quota and projector goes
    make bench ARGS=--json            figures as JSON on stdout
    make bench ARGS=--no-floors       only print: exit code 0 even when a floor is missed

How it is fair: both sides of a ratio run in turns (A B A B …) against the same nats-server (every message on disk
before it is acknowledged) or the same Postgres, with the same data and the same load generator; each ratio is the
median over the rounds, shown with the lowest and highest. Every subject has servers and services of its own, in a
temporary directory under `.wepeople/bench/`, all on the loopback.
"""
