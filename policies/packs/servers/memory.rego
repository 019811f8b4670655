# For @modelcontextprotocol/server-memory, beside the starter policy and manifests/ready/memory.yaml.
# Which upstreams it is for stands in data: {"servers": {"memory": ["memory"]}}.
package bascule.call

# What is remembered lies in the server's own file; forgetting is for the starter to ask about.
allow contains "something is remembered" if {
	is_memory
	memory_granted
	input.tool.name in {"add_observations", "create_entities", "create_relations"}
}

is_memory if input.tool.upstream in data.servers.memory

# To whom data.grants gives the tool, as in the starter.
memory_granted if {
	some who in [input.principal.id, "*"]
	some where in [input.tool.upstream, "*"]
	some name in data.grants[who][where]
	name in {input.tool.name, "*"}
}
