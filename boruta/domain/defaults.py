"""Every number of Boruta, with its unit and its reason."""

from __future__ import annotations

from typing import Final

# --- requests
PRIORITY: Final = 8  # the middle; the original's planned command line took it too
DEADLINE_MONTHS: Final = 1  # calendar months (original, 5.1)
JOB_TIMEOUT_S: Final = 3600.0  # the original's job time
MAX_JOB_TIMEOUT_S: Final = 24 * 3600.0  # nobody keeps a board for more than a day at a stretch
PROLONGS: Final = 10  # the seed says "limited" and gives no number
PROLONG_TOTAL_S: Final = 12 * 3600.0  # beyond the job's first end
ENDED_KEPT: Final = 10_000  # ended requests kept in memory; the oldest go first
UNSERVABLE: Final = "wait"  # a lab may switch a board on later

# --- liveness
HEARTBEAT_S: Final = 5.0  # agents; two may be lost before a peer counts as gone
USER_HEARTBEAT_S: Final = 3.0
PEER_GONE_S: Final = 13.0  # so that 15 s is kept whatever the tick
USER_LEAVES_S: Final = 7.0  # a user leaves a silent server and tries anew
HELLO_WITHIN_S: Final = 5.0
PING_WITHIN_S: Final = 2.0  # is the agent that has this UUID alive?
WORKER_GRACE_S: Final = 60.0  # a lost agent's job goes on this long
START_GRACE_S: Final = 180.0  # the same after a start or a take-over (SAFETY, B6)
CLIENT_LEASE_S: Final = 15.0  # what a vanished client holds is freed
START_CLIENT_LEASE_S: Final = 30.0
RECONNECT_S: Final = (0.2, 3.0)  # jittered between
SLEEP_GAP_S: Final = 1.0  # a longer gap of the loop's ticks: silence clocks start anew (A7)
CLOCK_STEP_HOLDS_S: Final = 60.0  # before a step of the system clock is adopted (A8)

# --- commands to an agent
PREPARE_WITHIN_S: Final = 60.0
MAINTENANCE_WITHIN_S: Final = 60.0
HEALTHCHECK_WITHIN_S: Final = 30.0
END_SESSION_WITHIN_S: Final = 10.0
LEASE_WITHIN_S: Final = 10.0
DEFAULT_LEASE_S: Final = 60.0  # a login before the lease has arrived counts from itself
BACKOFF_S: Final = (1.0, 60.0)  # after a failed prepare or assign; doubling, jittered
PREPARE_TRIES: Final = 5  # then FAILED, cause prepare
CHECKS_FAIL: Final = 3  # so many bad healthchecks in a row: FAILED, health
PREPARES_AT_ONCE: Final = 200  # SAFETY, B6

# --- matching
SETTLED_AFTER_S: Final = 5.0  # a board that was lost is matched after this long online (B5)
START_HOLD_S: Final = 2.0  # no matching before, or before all known agents are back (B2)
SHORT_JOB_S: Final = 30.0
CLOCKS_AGREE_S: Final = 1.0  # two clocks that differ by less agree about a job's end
SHORT_JOBS_FAIL: Final = 3  # so many short jobs in a row that the board failed: FAILED, health
RECENT_FAILURE_S: Final = 3600.0
SWEEP_S: Final = 10.0  # dead letters (A6)
DUE_TIMERS_A_TURN: Final = 256  # B4
INDEX_SLICE: Final = 500  # fits computed a turn, about 1 ms (B1)

# --- limits of what a peer may say and hold
FRAME_BYTES: Final = 1 << 20
PAGE_BYTES: Final = 768 << 10
CAP_KEY_BYTES: Final = 128
CAP_VALUE_BYTES: Final = 1024
CAPS_ENTRIES: Final = 64
GROUPS_ENTRIES: Final = 64
GROUP_BYTES: Final = 128
NOTE_BYTES: Final = 1024
REASON_BYTES: Final = 1024
TOKEN_BYTES: Final = 64
BAD_FRAMES: Final = 10  # then the peer is cut
WIRE_PAGE: Final = 1000
HISTORY_PAGE: Final = 200  # events; each reason may have 1 KiB, and all fit into a frame
FULL_PAGE: Final = 65535  # the original's
LIVE_REQUESTS_A_KEY: Final = 10_000
WORKERS_A_KEY: Final = 10_000  # boards of one worker key: as many as a server is made for
CONNECTIONS_A_KEY: Final = 1000  # of a user's: a CI farm with one key, many times over
CALLS_AT_ONCE: Final = 256  # unanswered calls of one connection
# Of a user's key, by whatever number of connections. (A worker's key may have 10,000 agents, which
# come back at once.)
CALLS_AT_ONCE_A_KEY: Final = 512
WAITING_ACQUIRES_A_KEY: Final = 100
SUBSCRIPTIONS_A_KEY: Final = 20
TUNNEL_CONNECTIONS: Final = 32  # a job
DIAL_WITHIN_S: Final = 5.0
FEED_KEPT: Final = 10_000  # changes kept for those who come back; then a gap
SUBSCRIBER_QUEUE: Final = 10_000  # an embedding subscriber's; then a gap

# --- ports
ZMQ_PORT: Final = 7175
HTTP_PORT: Final = 8487
SSH_GATEWAY_PORT: Final = 7122
AGENT_SSH_PORT: Final = 7022

ENDING_SOON_S: Final = (600.0, 60.0)  # warnings before a job's end
