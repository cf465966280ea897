// What comes after the page's block: a stream, and a tool called and answered.
import { jsonSchema, stepCountIs, streamText, tool } from "ai";

console.log(await streamText({ model, prompt: "Say hello." }).text);

const weather = tool({
  inputSchema: jsonSchema({ type: "object", properties: { place: { type: "string" } } }),
  execute: async ({ place }) => `warm in ${place}`,
});
const asked = { model, tools: { weather }, stopWhen: stepCountIs(3), prompt: "How is the weather in Ur?" };
console.log((await generateText(asked)).text);
