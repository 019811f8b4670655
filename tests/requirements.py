"""Every promise Bascule makes, with its source. A promise without a test is not made.

A test names the promises it keeps with `@pytest.mark.promise("id", ...)`; `test_requirements.py` checks both
directions: every promise here has a test, and every id a test names is here.
"""

PROMISES: dict[str, str] = {
    # design.md, Promises
    "judged-is-what-runs": "design.md 1: what goes upstream is our own serialisation of it",
    "recorded-before-it-runs": "design.md 2: no byte reaches an upstream before the allow for that call is durable",
    "every-ending-is-recorded": "design.md 3: done, failed, withheld, unknown, refused; a kill loses none",
    "fail-closed": "design.md 4: no rule, engine error, unknown obligation, drift, no log: each refuses",
    "log-needs-no-trust": "design.md 5: heads, proofs and tiles in public formats that other programs verify offline",
    "refusal-explains-itself": "design.md 6: a stable code, a safe reason, what would make it pass",
    "secrets-stay-inside": "design.md 9: credentials stay on their side, payloads stay out of leaves",
    "decided-again": "design.md 10: the same answer from the record alone, with the bundle swapped since",
    # the gateway among real clients and servers
    "interop.clients": "protocols.md 1, 2: clients on mcp 2.x (modern, legacy, auto) and on mcp 1.x",
    "interop.servers": "protocols.md 7: servers on mcp 2.x, mcp 1.x and FastMCP, each alone and as one of several",
    # what breaks around it
    "fault.upstream": "traps.md 1: an upstream that dies, lies or never answers costs one call, told in our own words",
    "fault.memory": "traps.md 1: an answer of 100 MB is withheld and costs bounded memory",
    "processes.no_fork": "decisions/0012: a start of a process never stops the loop: no Python runs in a forked child",
    "fault.full-disk": "style.md 16: a log that cannot commit stops the serving until it can again, and says so",
    "fault.read-only": "style.md 16: a state folder that cannot be written refuses the start",
    "fault.second-owner": "surface.md, Commands: one owner per state folder",
    "fault.contradiction": "style.md 16: a log that contradicts its head is fatal, exit code 6",
    # who is let in
    "strangers.leave-no-record": "traps.md 1, Audit: unauthenticated requests leave one summary, however many they are",
    "strangers.learn-nothing": "surface.md, Refusals: 401 with WWW-Authenticate, whether something is there or not",
    "strangers.sessions": "traps.md 1, Sessions: a session is bound to its principal and its address",
    # operators and their files
    "policy.refused-at-load": "policy.md 2: what would not be decided as written is refused with file and line",
    "policy.canaries": "policy.md 2.1: worst-case inputs at load; what takes too long never decides",
    "policy.check": "traps.md 1: a rule on an absent field is named before it decides",
    "policy.reload": "policy.md 3: a swap is whole or not at all, and recorded",
    "reload": "surface.md, bascule.yaml: all but state, listen and origin; sessions stay; an error changes nothing",
    "start.proves-itself": "design.md: the gateway refuses, records and verifies before it listens",
    "operators.one-door": "style.md 27: the command line only calls admin",
    "operators.recorded": "style.md 27: what an operator changes is recorded under who asked",
    # the servers and clients people already have
    "onboarding.stopwatch": "design.md: a client's eight servers are governed in minutes and given back byte for byte",
    "onboarding.offline": "sandbox.md 12: the real servers work confined and offline, and see nothing of the host",
    "onboarding.canaries": "design.md 9: planted secrets stand in no argument list, log, record, error or sandbox",
    "onboarding.suggest": "policy.md 3: what was seen passes under the suggested policy, a changed argument does not",
    "onboarding.vulnerable": "security.md 3: the exploits of three releases reach nothing outside what was granted",
    # what upstreams and clients say to each other beside calls
    "kinds.judged": "policy.md 1: every kind of proposal is judged, and no rule about tools speaks of another kind",
    "asking.judged": "traps.md 1: what an upstream asks of a client is a proposal, off unless a rule allows it",
    "asking.answers": "protocols.md 1.2: what a client answers is an argument like any other",
    "asking.bounded": "traps.md 1: an upstream that asks in a loop is cut",
    "rounds.bound": "protocols.md 1.2, 9: a request state opens once, for who was asked, for the same call",
    "talk.screened": "surface.md, On the wire: the text of progress and log messages is screened",
    "cancel.recorded": "traps.md 1: a call that its client gave up is withdrawn upstream, and its ending recorded",
    # the runtime owns the state
    "runs.table": "design.md, Durability: no effect without a durable intent, nothing out of frozen without a person",
    "runs.resolved": "audit.md B5: what is found out of a run with an unknown end is recorded, by a person, once",
    "key.once": "surface.md, On the wire: under one key a call is done once, and told again what it came to",
    "key.doubt": "audit.md B5: a call under a key whose end nobody knows is never repeated",
    "approval.exact": "design.md 7: an approval covers one exact proposal, once, until it expires",
    "approval.afresh": "design.md 7: what was agreed to is judged again on fresh facts before the effect",
    "approval.people": "surface.md: the right people, distinct, not who asked, signed where the user is shared",
    "brake": "surface.md, Commands: an operator slows, questions or stops, from the next decision on, over restarts",
    "budget.edge": "traps.md 2, 6: a budget is never overdrawn, however many ask at once, and no unit is lost",
    "budget.kept": "audit.md B: what a run reserved is known by its id alone, over kills, until its ending is",
    "budget.refusal": "surface.md, Refusals: what a refused call would have cost stays, and when to come back is said",
    "budget.cost": "design.md 4: what should be a cost and is none refuses",
    "budget.time": "traps.md 2: no clock that is moved opens an old window again",
    "approval.signature": "surface.md: a signature is good for one verdict on one request at one gateway",
    "approval.shown": "design.md 7: what is not what its digest says is neither shown, signed nor answered",
    "approval.harmless": "security.md: nothing in a request steers the approver's terminal",
    "approval.terminal": "surface.md: passphrases come from the terminal alone",
    "webhooks": "surface.md: whoever is configured is told, signed, of what is durable, and no call waits for it",
    "replay": "design.md 10: every recorded decision is made again, under the recorded or another policy; nothing runs",
    "approval.elsewhere": "surface.md: approvers answer over HTTP as themselves, signed, and see only what is theirs",
    "approval.survives": "audit.md B: a request waits without a process, and a restart forgets none",
    # style.md
    "house.sizes": "style.md 7",
    "house.mirror": "style.md 8, 18",
    "house.words": "style.md 9",
    "house.lock": "dependencies are pinned by hash in lock files that hold no addresses",
    "house.requirements": "style.md 19",
}
