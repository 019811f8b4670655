# For @modelcontextprotocol/server-everything, beside the starter policy and manifests/ready/everything.yaml.
# Which upstreams it is for stands in data: {"servers": {"everything": ["everything"]}}.
package bascule.call

# Its environment is whatever it was started with; nobody needs it to try a client.
deny contains {
	"reason": "the variables a server was started with are not for an agent",
	"would_pass": "another tool",
} if {
	is_everything
	input.tool.name == "get-env"
}

# It logs and notifies, or stops doing so, and nothing else changes.
allow contains "a setting of the server's own show" if {
	is_everything
	everything_granted
	input.tool.name in {"toggle-simulated-logging", "toggle-subscriber-updates"}
}

is_everything if input.tool.upstream in data.servers.everything

# To whom data.grants gives the tool, as in the starter.
everything_granted if {
	some who in [input.principal.id, "*"]
	some where in [input.tool.upstream, "*"]
	some name in data.grants[who][where]
	name in {input.tool.name, "*"}
}
