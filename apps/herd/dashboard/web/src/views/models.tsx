export function ModelsView() { return <p>models</p> }
