// Ask the extension gallery one cheap question. Exit 0: it answers as a gallery
// does. Exit 1: it does not, with the reason on standard output.
const gallery = process.env.EXTENSIONS_GALLERY
  ? JSON.parse(process.env.EXTENSIONS_GALLERY).serviceUrl
  : "https://open-vsx.org/vscode/gallery";
try {
  const answer = await fetch(`${gallery}/extensionquery`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json;api-version=3.0-preview.1",
    },
    body: JSON.stringify({ filters: [{ criteria: [{ filterType: 7, value: "redhat.vscode-yaml" }], pageNumber: 1, pageSize: 1 }], flags: 0 }),
    signal: AbortSignal.timeout(15_000),
  });
  if (!answer.ok) throw new Error(`it answered with HTTP status ${answer.status}`);
  await answer.json();
} catch (error) {
  console.log(error.cause?.code ?? error.cause?.message ?? error.message);
  process.exitCode = 1;
}
