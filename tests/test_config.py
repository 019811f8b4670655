"""Reading the file: places, references, all faults at once."""

import json
from datetime import date
from pathlib import Path

import jsonschema_rs
import pytest

from gateway import config
from gateway.errors import ConfigError

LEAST = "version: 1\naudit: {origin: example.org/bascule}\n"
SECRET = "s3cr3t-value"
ROOT = Path(__file__).parent.parent


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bascule.yaml"


def load(file: Path, text: str, **environ: str) -> config.Settings:
    file.write_text(LEAST + text, encoding="utf-8")
    return config.load(file, environ)


def refusal(file: Path, text: str, **environ: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(file, text, **environ)
    return caught.value


def test_a_whole_configuration_is_read(file: Path) -> None:
    read = load(
        file,
        "state: .bascule\n"
        "listen: {host: 127.0.0.1, port: 9000, hosts: [gw.example], origins: ['https://a.example']}\n"
        f"principals: {{claude-code: {{tenant: acme, token_sha256: '{'ab' * 32}', roles: [dev]}}}}\n"
        "insecure_local: true\n"
        "upstreams:\n"
        "  crm: {url: 'https://crm.example/mcp', headers: {Authorization: 'Bearer ${CRM_TOKEN}'},\n"
        "        mode: shadow, until: 2027-01-31, trust: review}\n"
        "views: {support: [crm], found: {upstreams: [crm], search: only}}\n"
        "policy: {bundle: rules, manifests: /srv/m, engine: opa, url: 'http://127.0.0.1:8181',\n"
        "         data: [{name: groups, file: groups.json}]}\n"
        "run_as: null\n"
        "limits: {call_s: 2.5, body_mb: 8}\n",
        CRM_TOKEN=SECRET,
    )
    folder = file.parent
    assert (read.file, read.state) == (file, folder / ".bascule")
    assert (read.listen.port, read.listen.hosts) == (9000, ("gw.example",))
    assert read.principals["claude-code"].roles == ("dev",)
    assert read.upstreams["crm"].headers == {"Authorization": f"Bearer {SECRET}"}
    assert read.upstreams["crm"].until == date(2027, 1, 31)
    assert [(view.upstreams, view.search) for view in read.views.values()] == [(("crm",), None), (("crm",), "only")]
    assert (read.policy.bundle, read.policy.manifests) == (folder / "rules", Path("/srv/m"))
    assert read.policy.data[0].file == folder / "groups.json"
    assert (read.limits.call_s, read.limits.body_mb, read.limits.depth) == (2.5, 8, 64)


def test_paths_left_out_are_beside_the_file(file: Path) -> None:
    assert load(file, "").policy.bundle == file.parent / "policies"


def test_the_default_state_folder_is_the_users(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/users/state")
    assert load(file, "").state == Path("/users/state/bascule")


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("stat: x\n", 3, 1, "stat: unknown key; did you mean 'state'?"),
        ("file: x\n", 3, 1, "file: unknown key"),
        ("zzzzzzz: x\n", 3, 1, "known here: version, state"),
        ("listen:\n  prot: 1\n", 4, 3, "listen.prot: unknown key; did you mean 'port'?"),
        ("listen: {port: '84'}\n", 3, 16, "listen.port: should be a valid integer"),
        ("insecure_local: yes\n", 3, 17, "insecure_local: should be a valid boolean"),
        ("upstreams: {a: {url: 'http://x/', hedaers: {}}}\n", 3, 35, "did you mean 'headers'?"),
        (
            "upstreams: {a: {trust: review}}\n",
            3,
            16,
            "upstreams.a: should have url",
        ),
        ("upstreams: {a__b: {url: 'http://x/'}}\n", 3, 13, "upstreams.a__b: a name holds no '__'"),
        ("mcpServers: {A: {url: 'http://x/'}}\n", 3, 14, "mcpServers.A: "),
        ("mcpServers: {a: {args: [x]}}\n", 3, 17, "mcpServers.a: should have url"),
        ("policy:\n  engine: cedar\n", 4, 11, "policy.engine: should be 'regorus' or 'opa'"),
        ("policy: {data: [{name: a}]}\n", 3, 17, "policy.data[0].file: is missing"),
        ("principals: {a: {token_sha256: ab}}\n", 3, 32, "64 lower-case hex digits"),
        ("views:\n  v: [crm]\n", 4, 3, "names 'crm', which is no upstream"),
        (
            "upstreams: {a: {url: 'http://x/'}}\nviews: {v: {upstreams: [a], serch: only}}\n",
            4,
            29,
            "did you mean 'search'?",
        ),
        ("upstreams: {a: {url: 'http://x/'}}\nviews: {v: {upstreams: [a], search: x}}\n", 4, 37, "'also' or 'only'"),
        ("views: {v: {search: only}}\n", 3, 12, "views.v.upstreams: is missing"),
        ("views: {v: 3}\n", 3, 12, "views.v: should be"),
        ("limits: {depth: 1000}\n", 3, 17, "limits.depth: should be less than or equal to 192"),
        ("limits: {depth: 12345678901234567890123}\n", 1, 1, "64 bits"),
        ("limits: {depth: 0x}\n", 3, 17, "limits.depth: should be a valid integer"),
        ("policy: {bundle: !env X}\n", 3, 18, "policy.bundle: YAML tags are not read here"),
        ("limits: {call_s: !!int 1.x}\n", 3, 18, "limits.call_s: is not a number"),
        ("state: &s x\n", 3, 8, "state: anchors and aliases"),
        ("<<: {state: x}\n", 3, 1, "a key should be a plain word"),
        ("? [a]\n: 1\n", 3, 3, "a key should be a plain word"),
        ("state: '${HOME}/x'\n", 3, 8, "state: ${…} is read only in env and headers"),
        ("state: a: b\n", 3, 9, "not YAML"),
        ("state: [\n", 4, 1, "not YAML"),
        ("---\nstate: x\n", 3, 1, "not YAML"),
        ("run_as: " + "[" * 40 + "]" * 40 + "\n", 3, 9, "is nested too deep"),
    ],
)
def test_a_fault_names_its_place_and_what_would_be_right(
    file: Path, text: str, line: int, column: int, problem: str
) -> None:
    fault = refusal(file, text)
    assert problem in str(fault)
    assert (fault.file, fault.line, fault.column) == (str(file), line, column)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("version: 1\n", 3),
        ("listen: {port: 1, host: h, port: 2}\n", 3),
        (f"upstreams:\n  a:\n    headers:\n      X: '{SECRET}'\n      X: '{SECRET}'\n", 7),
    ],
)
def test_a_duplicate_key_is_refused_at_every_depth(file: Path, text: str, line: int) -> None:
    fault = refusal(file, text)
    assert f"{file}:{line}:" in str(fault)
    assert "given twice" in str(fault)
    assert SECRET not in str(fault)


def test_all_faults_are_told_at_once_in_the_order_of_the_file(file: Path) -> None:
    lines = str(refusal(file, "stat: x\nlisten: {port: no}\nlimits: {depth: 1}\n")).splitlines()
    assert [line.split(":")[1] for line in lines] == ["3", "4", "5"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "word\n"])
def test_a_file_that_is_no_mapping_is_refused(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match="version: 1"):
        config.load(file, {})


def test_days_without_their_unit_are_refused(file: Path) -> None:
    file.write_text("version: 1\naudit: {origin: a, keep: 30}\n")
    with pytest.raises(ConfigError, match=r"2:26: audit\.keep: should be whole days with their unit, such as 30d"):
        config.load(file, {})


def test_a_control_character_is_refused(file: Path) -> None:
    assert "character" in str(refusal(file, "state: '\x01'\n"))


def test_a_file_that_cannot_be_read_is_refused(file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    for path, problem in ((file, "UTF-8"), (tmp_path / "none.yaml", "No such file"), (tmp_path, "directory")):
        with pytest.raises(ConfigError, match=problem):
            config.load(path, {})


@pytest.mark.parametrize(
    ("upstream", "problem"),
    [
        ("args: []", "should have url (a server with an address) or command (one that is run), one of the two"),
        ("command: npx, url: 'http://x/'", "should have url (a server with an address) or command (one that is run)"),
        ("type: stdio, url: 'http://x/'", "type stdio does not go with url"),
        ("type: http, command: npx", "type http does not go with command"),
        ("folders: {/srv: ro}, url: 'http://x/'", "folders does not go with url"),
        ("headers: {A: b}, command: npx", "headers does not go with command"),
        ("oauth: {}, url: 'http://x/'", "oauth belongs to auth: oauth"),
        ("folders: {/: ro}, command: npx", "the whole machine cannot be granted"),
        ("folders: {/srv/..: ro}, command: npx", "the whole machine cannot be granted"),
        ("folders: {/srv: rwx}, command: npx", "should be 'ro' or 'rw'"),
        ('command: "npx\\0"', "holds a null character"),
        ("env: {A-B: x}, command: npx", "env.A-B"),
        ("sandbox: ../x, command: npx", "sandbox: String should match pattern"),
    ],
)
def test_what_does_not_make_one_server_is_refused(file: Path, upstream: str, problem: str) -> None:
    fault = str(refusal(file, f"upstreams:\n  files: {{{upstream}}}\nviews: {{v: [files]}}\n"))
    assert fault.startswith(f"{file}:4:")
    assert problem in fault


def test_a_command_is_read_as_clients_write_it(file: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("kept\n")
    text = (
        "upstreams:\n  files: {type: stdio, command: npx, args: [-y, pkg], env: {A: '${B}', C: {_from: {file: key}}},"
    )
    told = load(file, text + " folders: {docs: rw, /srv/a/../b: ro}}\n", B="x").upstreams["files"]
    assert (told.command, told.args, told.env) == ("npx", ("-y", "pkg"), {"A": "x", "C": "kept"})
    assert told.folders == {str(tmp_path / "docs"): "rw", "/srv/b": "ro"}
    assert "kept" not in repr(told)


def test_an_outline_looks_nothing_up(file: Path) -> None:
    text = "upstreams: {a: {command: npx, env: {A: '${NONE}', B: {_from: {file: none}}}}}\n"
    refusal(file, text)
    assert set(config.outline(file).upstreams["a"].env.values()) == {"unset"}


def test_both_words_for_upstreams_are_one_too_many(file: Path) -> None:
    assert "keep one" in str(refusal(file, "upstreams: {}\nmcpServers: {}\n"))


def test_client_spelling_has_the_same_meaning(file: Path) -> None:
    read = load(file, "mcpServers: {crm: {type: http, url: 'http://x/mcp', headers: {X-Key: abc}}}\n")
    assert read.upstreams["crm"].headers == {"X-Key": "abc"}


def header(value: str) -> str:
    return f"upstreams: {{crm: {{url: 'http://x/', headers: {{X: {value}}}}}}}\n"


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ("'${A}'", "one"),
        ("'Bearer ${A}-${B:-two}'", "Bearer one-two"),
        ("'${B:-}'", ""),
        ("'${EMPTY:-x}'", "x"),
        ("plain", "plain"),
        ("{_from: {env: A}}", "one"),
        ("{_from: {file: token}}", SECRET),
    ],
)
def test_references_in_headers_are_resolved(file: Path, value: str, resolved: str) -> None:
    (file.parent / "token").write_text(f"{SECRET}\n")
    assert load(file, header(value), A="one", EMPTY="").upstreams["crm"].headers == {"X": resolved}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("'${MISSING}'", "the environment variable MISSING is not set"),
        ("'${EMPTY}'", "EMPTY is not set or empty"),
        ("'${a b}'", "should be ${NAME}"),
        ("{_from: {env: MISSING}}", "MISSING is not set"),
        ("{_from: {file: none}}", "none cannot be read"),
        ("{_from: {keyring: x}}", "keyring should be SERVICE/NAME"),
        ("{_from: {vault: x}}", "_from should be {file: PATH}, {env: NAME} or {keyring: SERVICE/NAME}"),
        ("{_from: {env: A, file: b}}", "should be text, or {_from"),
        ("{_from: x}", "should be text, or {_from"),
        ("{form: {env: A}}", "should be text, or {_from"),
        ("{_from: {file: 7}}", "_from should be"),
        ("7", "should be text"),
        ("'${BREAK}'", "line break"),
    ],
)
def test_a_reference_that_cannot_be_resolved_is_named(file: Path, value: str, problem: str) -> None:
    fault = refusal(file, header(value), A=SECRET, EMPTY="", BREAK=f"{SECRET}\n")
    assert f"upstreams.crm.headers.X: {problem}" in str(fault) or problem in str(fault)
    assert SECRET not in str(fault)


def test_secrets_are_in_no_text_of_the_settings(file: Path) -> None:
    digest = "cd" * 32
    read = load(file, header("'${A}'") + f"principals: {{a: {{token_sha256: '{digest}'}}}}\n", A=SECRET)
    assert read.upstreams["crm"].headers["X"] == SECRET
    for text in (repr(read), str(read), repr(read.upstreams), repr(read.principals)):
        assert SECRET not in text
        assert digest not in text


def test_a_fault_elsewhere_does_not_show_a_secret(file: Path) -> None:
    fault = refusal(file, header("'${A}'").replace("url: 'http://x/'", "url: 'ftp://x/'"), A=SECRET)
    assert SECRET not in str(fault)
    assert fault.__cause__ is None


def test_the_file_in_force_is_the_one_named_then_the_environments_then_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    (home / "bascule").mkdir(parents=True)
    here.mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.chdir(here)
    with pytest.raises(ConfigError, match="bascule init"):
        config.find(None, {})
    (home / "bascule" / "bascule.yaml").touch()
    assert config.find(None, {}) == home / "bascule" / "bascule.yaml"
    Path("bascule.yaml").touch()
    assert config.find(None, {}) == Path("bascule.yaml")
    assert config.find(None, {"BASCULE_CONFIG": "/x.yaml"}) == Path("/x.yaml")
    assert config.find(Path("y.yaml"), {"BASCULE_CONFIG": "/x.yaml"}) == Path("y.yaml")


@pytest.mark.parametrize(
    ("document", "valid"),
    [
        ({"version": 1, "audit": {"origin": "a", "keep": "30d"}, "run_as": None}, True),
        ({"version": 1, "audit": {"origin": "a"}, "mcpServers": {"a": {"url": "http://x/"}}}, True),
        ({"version": 1, "audit": {"origin": "a"}, "upstreams": {}, "mcpServers": {}}, False),
        ({"version": 1, "audit": {"origin": "a"}, "file": "x"}, False),
        ({"version": 2, "audit": {"origin": "a"}}, False),
        ({"version": 1, "audit": {"origin": "a"}, "upstreams": {"A": {"url": "http://x/"}}}, False),
        (
            {
                "version": 1,
                "audit": {"origin": "a"},
                "upstreams": {"a": {"url": "http://x/", "headers": {"X": {"_from": {"env": "A"}}}}},
            },
            True,
        ),
    ],
)
def test_the_json_schema_says_what_the_reader_does(document: object, valid: bool) -> None:
    assert jsonschema_rs.validator_for(config.json_schema()).is_valid(document) is valid


def test_the_checked_in_json_schema_is_the_generated_one() -> None:
    written = (ROOT / "docs" / "bascule.schema.json").read_text(encoding="utf-8")
    assert json.loads(written) == config.json_schema(), "renew it with `python docs/reference.py`"
