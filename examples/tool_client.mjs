// Carries out a tool of an agent on the phone, from JavaScript: in Node.js 22 or newer, and in a browser as it is.
//
//   PATTER_API_KEY=... node examples/tool_client.mjs http://127.0.0.1:8000 agent
//
// The tool is inline: the agent has it while this program is connected. Ctrl-C ends it.

/** @typedef {{tool_call_id: string, tool_name: string, parameters: Record<string, unknown>}} ToolCall */

/** Answers an agent's tool calls over one websocket, and connects again when the connection is lost. */
export class ToolClient {
  /**
   * @param {string} url where the phone is, such as https://phone.example.com
   * @param {{agent: string, apiKey: string, tools: object[], handlers: Record<string, (parameters: any) => any>}} options
   *   tools: what the config brings, or names; handlers: by the tools' names, plain or async.
   */
  constructor(url, options) {
    const { protocol, hostname } = new URL(url);
    if (protocol === "http:" && !["127.0.0.1", "localhost", "[::1]"].includes(hostname)) {
      throw new Error("The address must be https://, or the key could be read on the way.");
    }
    this.url = `${url.replace(/^http/, "ws").replace(/\/$/, "")}/v1/tools/ws`;
    this.options = options;
    this.waitMs = 500;
  }

  run() {
    const { agent, apiKey, tools } = this.options;
    const socket = new WebSocket(this.url);
    // Browsers send no headers with a websocket, so the key is in the first message, and never in the address.
    socket.onopen = () => socket.send(JSON.stringify({ type: "config", agent, api_key: apiKey, tools }));
    socket.onmessage = ({ data }) => this.take(socket, JSON.parse(data));
    socket.onclose = ({ code }) => {
      if (code >= 4400 && code <= 4404) {
        console.error(`The phone refuses this client (${code}).`);
        return;
      }
      setTimeout(() => this.run(), this.waitMs * (0.5 + Math.random()));
      this.waitMs = Math.min(this.waitMs * 2, 30_000);
    };
  }

  /** @param {WebSocket} socket @param {any} message */
  take(socket, message) {
    switch (message.type) {
      case "ready_to_start_conversation":
        this.waitMs = 500;
        console.log("ready");
        break;
      case "tool_call":
        this.answer(socket, message);
        break;
      case "error":
        console.error(message.error.message, message.param_errors ?? "");
        break;
    }
  }

  /** @param {WebSocket} socket @param {ToolCall} call */
  async answer(socket, { tool_call_id, tool_name, parameters }) {
    const { handlers } = this.options;
    const answer = { type: "tool_call_output", tool_call_id };
    try {
      if (!Object.hasOwn(handlers, tool_name)) throw new Error("there is no handler");
      answer.output = (await handlers[tool_name](parameters)) ?? null;
    } catch (error) {
      console.error(tool_name, error); // here, and not on the wire: it could hold anything
      answer.output = { error: "handler_error" };
      answer.is_error = true;
    }
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(answer));
  }
}

const GET_TEMPERATURE = {
  type: "custom_websocket",
  tool_schema: {
    type: "function",
    function: {
      name: "get_temperature",
      description: "Get the current temperature of a city. Use it whenever somebody asks how warm or cold it is.",
      parameters: {
        type: "object",
        properties: { city: { type: "string", description: "The city" } },
        required: ["city"],
        additionalProperties: false,
      },
    },
  },
  execution_mode: "sync",
  tool_call_output_timeout_ms: 5000,
};

if (typeof process !== "undefined" && process.argv[2]) {
  const [, , url, agent = "agent"] = process.argv;
  new ToolClient(url, {
    agent,
    apiKey: process.env.PATTER_API_KEY ?? "",
    tools: [GET_TEMPERATURE],
    handlers: { get_temperature: ({ city }) => ({ city, temperature: "24 degrees" }) },
  }).run();
}
