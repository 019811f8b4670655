# For @modelcontextprotocol/server-filesystem, beside the starter policy and manifests/ready/filesystem.yaml.
# Which upstreams it is for stands in data: {"servers": {"filesystem": ["files"]}}.
package bascule.call

# Files that usually hold secrets are shown to a person first, wherever they lie.
require_approval contains {
	"reason": "a person should see this first: the file usually holds secrets",
	"would_pass": "another file",
} if {
	is_filesystem
	some value in input.typed
	value.type == "path"
	filesystem_secret(value.value)
}

# An edit that only shows what it would do changes nothing.
allow contains "an edit that is only tried" if {
	is_filesystem
	filesystem_granted
	input.tool.name == "edit_file"
	input.args.dryRun == true
}

is_filesystem if input.tool.upstream in data.servers.filesystem

filesystem_secret(path) if {
	some name in split(lower(path), "/")
	name in {".env", ".aws", ".gnupg", ".kube", ".netrc", ".npmrc", ".pgpass", ".pypirc", ".ssh", "credentials", "id_ed25519", "id_rsa"}
}

filesystem_secret(path) if {
	some ending in [".key", ".keystore", ".kdbx", ".p12", ".pem", ".pfx"]
	endswith(lower(path), ending)
}

filesystem_secret(path) if contains(lower(path), "/.env.")

# To whom data.grants gives the tool, as in the starter.
filesystem_granted if {
	some who in [input.principal.id, "*"]
	some where in [input.tool.upstream, "*"]
	some name in data.grants[who][where]
	name in {input.tool.name, "*"}
}
