export function UsageView() { return <p>usage</p> }
