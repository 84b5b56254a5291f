//! Who asks, and what they may do, written down once more beside `identities.yaml`.

/// The objects of the identities.
pub(super) const OBJECTS: &str = include_str!("identities.yaml");

/// The subjects. The last one has no token.
pub(super) const SUBJECTS: [&str; 6] = ["dev", "both", "reader", "invoker", "cut", "nobody"];

const SYSTEM: [&str; 4] = ["openfaas", "kube-system", "kube-public", "kube-node-lease"];

/// Whether a subject may do this.
pub(super) fn may(subject: &str, action: &str, resource: &str) -> bool {
    let (namespace, name) = resource.split_once(':').unwrap_or(("", ""));
    if SYSTEM.contains(&namespace) {
        return false;
    }
    let (kind, verb) = action.split_once(':').unwrap_or_default();
    match subject {
        "dev" => namespace == "dev" && ["Function", "Secret", "Namespace"].contains(&kind),
        "both" => {
            namespace == "openfaas-fn" && ["Function", "Secret"].contains(&kind)
                || may("dev", action, resource)
        }
        "reader" => ["List", "Get", "Info"].contains(&verb) && kind != "IAM" || action == "Function:Logs",
        "invoker" => action == "Function:Invoke" && namespace == "dev",
        // No list of all namespaces, since a Deny cuts one of them.
        "cut" => {
            let cut = ["Function:Delete", "Function:Scale", "Secret:Delete"].contains(&action) && name == "g";
            namespace != "prod" && !cut && action != "Namespace:List"
        }
        _ => false,
    }
}
