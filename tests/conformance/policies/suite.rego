# What the official suite needs, each by a rule of its own; everything else is refused as everywhere.
package bascule.call

allow contains "a tool of the suite" if {
	upstreams[input.upstream]
	input.call.kind == "tool"
	tools[input.tool.name]
}

allow contains "a resource of the fixture server" if {
	upstreams[input.upstream]
	input.call.kind == "resource"
	startswith(input.resource.uri, "test://")
}

allow contains "a resource of the suite's server" if {
	upstreams[input.upstream]
	input.call.kind == "resource"
	resources[input.resource.uri]
}

allow contains "a prompt of the suite" if {
	upstreams[input.upstream]
	input.call.kind == "prompt"
	prompts[input.prompt.name]
}

allow contains "suggestions for a prompt" if {
	upstreams[input.upstream]
	input.call.kind == "completion"
	input.completion.ref == "ref/prompt"
	prompts[input.completion.name]
}

allow contains "the resource that can be watched" if {
	upstreams[input.upstream]
	input.call.kind == "subscription"
	input.subscription.uri == "test://watched-resource"
}

allow contains "words of the client's model, for a tool that may ask for them" if {
	upstreams[input.upstream]
	input.call.kind == "sampling"
	input.sampling.during.kind == "tool"
	sampling_tools[input.sampling.during.name]
}

allow contains "a form for the client's person" if {
	upstreams[input.upstream]
	input.call.kind == "elicitation"
	input.elicitation.mode == "form"
	asking[input.elicitation.during.kind]
}

allow contains "the client's folders, for a tool that may know them" if {
	upstreams[input.upstream]
	input.call.kind == "roots"
	input.roots.during.kind == "tool"
	roots_tools[input.roots.during.name]
}

# Nobody has it: the suite wants to hear from the server itself that there is no such method.
allow contains "the method that the suite makes up" if {
	upstreams[input.upstream]
	input.call.kind == "other"
	input.other.method == "unknown/method"
}

# The fixture server, and what knows but one era.
upstreams := {"suite", "modern", "legacy"}

asking := {"tool", "prompt"}

resources := {"file:///path/to/file%20name.txt", "https://example.com/resource?id=123"}

prompts := {
	"test_simple_prompt",
	"test_prompt_with_arguments",
	"test_prompt_with_embedded_resource",
	"test_prompt_with_image",
	"test_input_required_result_prompt",
	"test_prompt",
}

sampling_tools := {
	"test_sampling",
	"test_input_required_result_sampling",
	"test_input_required_result_multiple_inputs",
	"test_input_required_result_capabilities",
}

roots_tools := {"test_input_required_result_list_roots", "test_input_required_result_multiple_inputs"}

tools := server_tools | client_tools

# Those of the fixture server.
server_tools := {
	"json_schema_2020_12_tool",
	"test_audio_content",
	"test_elicitation",
	"test_elicitation_sep1034_defaults",
	"test_elicitation_sep1330_enums",
	"test_embedded_resource",
	"test_error_handling",
	"test_header",
	"test_image_content",
	"test_input_required_result_capabilities",
	"test_input_required_result_elicitation",
	"test_input_required_result_list_roots",
	"test_input_required_result_multi_round",
	"test_input_required_result_multiple_inputs",
	"test_input_required_result_request_state",
	"test_input_required_result_sampling",
	"test_input_required_result_tampered_state",
	"test_logging_tool",
	"test_missing_capability",
	"test_multiple_content_types",
	"test_reconnection",
	"test_sampling",
	"test_simple_text",
	"test_streaming_elicitation",
	"test_tool_with_logging",
	"test_tool_with_progress",
	"test_trigger_prompt_change",
	"test_trigger_resource_update",
	"test_trigger_tool_change",
}

# Those of the servers that the suite starts for a client.
client_tools := {
	"add_numbers",
	"json_schema_echo",
	"my-hyphenated-tool",
	"test_client_elicitation_defaults",
	"test_custom_headers",
	"test_custom_headers_null",
	"test_headers",
	"test_mrtr_echo_state",
	"test_mrtr_no_result_type",
	"test_mrtr_no_state",
	"test_mrtr_unrelated",
	"valid_tool",
}
