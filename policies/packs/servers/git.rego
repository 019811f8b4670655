# For mcp-server-git, beside the starter policy and manifests/ready/git.yaml.
# Which upstreams it is for stands in data: {"servers": {"git": ["git"]}}.
#
# Reading, staging, committing and branching inside the folders are the starter's to allow; a reset is asked.
package bascule.call

# What begins with - is an option to git, and some of them write files.
deny contains {
	"reason": "a name that begins with - would be read as an option of git",
	"would_pass": "the name of a branch, a tag or a commit",
} if {
	is_git
	some name in [
		"target",
		"revision",
		"branch_name",
		"base_branch",
		"branch_type",
		"contains",
		"not_contains",
		"start_timestamp",
		"end_timestamp",
	]
	is_string(input.args[name])
	startswith(trim_space(input.args[name]), "-")
}

is_git if input.tool.upstream in data.servers.git
