# For mcp-server-time, beside the starter policy and manifests/ready/time.yaml.
# Which upstreams it is for stands in data: {"servers": {"time": ["time"]}}.
package bascule.call

allow contains "telling the time" if {
	is_time
	time_granted
	input.tool.name in {"convert_time", "get_current_time"}
}

is_time if input.tool.upstream in data.servers.time

# To whom data.grants gives the tool, as in the starter.
time_granted if {
	some who in [input.principal.id, "*"]
	some where in [input.tool.upstream, "*"]
	some name in data.grants[who][where]
	name in {input.tool.name, "*"}
}
