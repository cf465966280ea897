// What comes after the page's block: a stream, and a tool called and answered.
const asked = { model: "claude-haiku-4-5", max_tokens: 1000, messages: [{ role: "user", content: "Say hello." }] };
console.log(await client.messages.stream(asked).finalText());

const weather = {
  type: "custom",
  name: "weather",
  description: "The weather of a place.",
  input_schema: { type: "object", properties: { place: { type: "string" } } },
  parse: (input) => input,
  run: ({ place }) => `warm in ${place}`,
};
const last = await client.beta.messages.toolRunner({ ...asked, tools: [weather] });
console.log(last.content[0].text);
