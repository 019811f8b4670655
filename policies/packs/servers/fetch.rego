# For mcp-server-fetch, beside the starter policy and manifests/ready/fetch.yaml.
# Which upstreams it is for, and the hosts whose pages may be read, stand in data:
# {"servers": {"fetch": ["web"]}, "fetch": {"hosts": ["docs.example.com"]}}. Any other host is asked about.
package bascule.call

allow contains "a page of a listed host" if {
	is_fetch
	fetch_granted
	input.tool.name == "fetch"
	input.typed["/url"].host in data.fetch.hosts
}

is_fetch if input.tool.upstream in data.servers.fetch

# To whom data.grants gives the tool, as in the starter.
fetch_granted if {
	some who in [input.principal.id, "*"]
	some where in [input.tool.upstream, "*"]
	some name in data.grants[who][where]
	name in {input.tool.name, "*"}
}
