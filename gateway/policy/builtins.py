"""The builtin functions a policy may call in process: what regorus has, and answers as OPA does.

What OPA has beyond this table is refused at load with the OPA engine named as the remedy (`differences`).
Types are OPA's: s text, n number, b boolean, z null, a array, o object, t set, * anything.
"""

_TABLE = """
abs n > n
array.concat a a > a
array.reverse a > a
array.slice a n n > a
base64.decode s > s
base64.encode s > s
base64.is_valid s > b
base64url.decode s > s
base64url.encode s > s
base64url.encode_no_pad s > s
bits.and n n > n
bits.lsh n n > n
bits.negate n > n
bits.or n n > n
bits.rsh n n > n
bits.xor n n > n
ceil n > n
concat s at > s
contains s s > b
count aost > n
endswith s s > b
floor n > n
format_int n n > s
glob.match s az s > b
glob.quote_meta s > s
graph.reachable o at > t
graph.reachable_paths o at > t
hex.decode s > s
hex.encode s > s
indexof s s > n
indexof_n s s > a
intersection t > t
is_array * > b
is_boolean * > b
is_null * > b
is_number * > b
is_object * > b
is_set * > b
is_string * > b
json.filter o at > o
json.is_valid s > b
json.marshal * > s
json.marshal_with_options * o > s
json.patch * a > *
json.remove o at > o
json.unmarshal s > *
json.verify_schema os > a
lower s > s
max at > *
min at > *
net.cidr_contains s s > b
net.cidr_expand s > t
net.cidr_is_valid s > b
numbers.range n n > a
numbers.range_step n n n > a
object.filter o aot > o
object.get o * * > *
object.keys o > t
object.remove o aot > o
object.union o o > o
object.union_n a > o
product at > n
regex.find_all_string_submatch_n s s n > a
regex.find_n s s n > a
regex.is_valid s > b
regex.match s s > b
regex.replace s s s > s
regex.split s s > a
regex.template_match s s s s > b
replace s s s > s
round n > n
semver.compare s s > n
semver.is_valid * > b
sort at > a
split s s > a
sprintf s a > s
startswith s s > b
strings.any_prefix_match ast ast > b
strings.any_suffix_match ast ast > b
strings.reverse s > s
substring s n n > s
sum at > n
time.add_date n n n n > n
time.clock an > a
time.date an > a
time.diff an an > a
time.format an > s
time.parse_duration_ns s > n
time.parse_ns s s > n
time.parse_rfc3339_ns s > n
time.weekday an > s
to_number bnsz > n
trace s > b
trim s s > s
trim_left s s > s
trim_prefix s s > s
trim_right s s > s
trim_space s > s
trim_suffix s s > s
type_name * > s
union t > t
upper s > s
urlquery.decode s > s
urlquery.decode_object s > o
urlquery.encode s > s
urlquery.encode_object o > s
uuid.parse s > o
yaml.marshal * > s
yaml.unmarshal s > *
"""

SIGNATURES: dict[str, tuple[tuple[str, ...], str]] = {}
"""Name to the types of its arguments and of its result."""
for _line in _TABLE.strip().splitlines():
    _name, _, _types = _line.partition(" ")
    _arguments, _, _result = _types.partition("> ")
    SIGNATURES[_name] = (tuple(_arguments.split()), _result)

VOLATILE = {
    "time.now_ns": "use `input.time`, which the record keeps",
    "http.send": "give the answer as live data (`policy.data`), which each decision names by digest",
    "net.lookup_ip_addr": "names are resolved after the allow, at dial, and the address checked there",
    "rand.intn": "a decision that may fall either way cannot be decided again",
    "uuid.rfc4122": "use the ids in `input`",
    "opa.runtime": "give what it would tell as data",
    "rego.metadata.chain": "state it in the rule",
    "rego.metadata.rule": "state it in the rule",
}
"""Builtins whose answer is not a function of the input and the bundle, and what to write instead."""

DIFFERENT = {
    "strings.count": "it counts an empty text differently",
    "strings.replace_n": "it replaces in another order",
    "json.match_schema": "its messages differ",
    "yaml.is_valid": "it accepts other documents",
    "units.parse": "it accepts numbers that overflow",
    "units.parse_bytes": "it accepts numbers that overflow",
    "object.subset": "it breaks down on an empty array",
    "walk": "it goes through arrays differently",
}
"""Builtins in which the engine in process was seen to differ from OPA without an error, or to panic."""

OPA_HAS = (
    "crypto.",
    "graphql.",
    "io.jwt.",
    "uri.",
    "providers.aws.",
    "net.cidr_",
    "array.flatten",
    "regex.globs_match",
    "rego.parse_module",
    "strings.render_template",
    "strings.split_n",
)
"""How the names of what only OPA has begin."""

DEPRECATED = frozenset(
    {"all", "any", "cast_array", "cast_boolean", "cast_null", "cast_object", "cast_set", "cast_string", "re_match"}
    | {"set_diff", "net.cidr_overlap"}
)
"""What Rego v1 no longer has, in any engine."""
