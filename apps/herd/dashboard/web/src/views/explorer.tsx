export function ExplorerView() { return <p>explorer</p> }
