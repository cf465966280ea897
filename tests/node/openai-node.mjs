// What comes after the page's block: a stream, the same from the responses API, a tool called and answered.
const asked = { model: "gpt-4o-mini", messages: [{ role: "user", content: "Say hello." }] };
let said = "";
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
  said += chunk.choices[0]?.delta?.content ?? "";
}
console.log(said);

const stream = client.responses.stream({ model: "gpt-4o-mini", input: "Say hello." });
console.log((await stream.finalResponse()).output_text);

const weather = {
  name: "weather",
  parse: JSON.parse,
  parameters: { type: "object", properties: { place: { type: "string" } } },
  function: ({ place }) => `warm in ${place}`,
};
const runner = client.chat.completions.runTools({ ...asked, tools: [{ type: "function", function: weather }] });
console.log(await runner.finalContent());
