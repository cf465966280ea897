// What comes after the page's block: a stream, and a tool called and answered.
const asked = { model: "gemini-2.5-flash", contents: "Say hello." };
let said = "";
for await (const chunk of await client.models.generateContentStream(asked)) {
  said += chunk.text ?? "";
}
console.log(said);

const parameters = { type: "OBJECT", properties: { place: { type: "STRING" } } };
const tools = [{ functionDeclarations: [{ name: "weather", description: "The weather of a place.", parameters }] }];
const chat = client.chats.create({ model: "gemini-2.5-flash", config: { tools } });
const calls = (await chat.sendMessage({ message: "How is the weather in Ur?" })).functionCalls;
const response = { output: `warm in ${calls[0].args.place}` };
const message = { functionResponse: { name: calls[0].name, response } };
console.log((await chat.sendMessage({ message })).text);
