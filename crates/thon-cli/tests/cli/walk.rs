//! An event over the API, by its description alone.
//!
//! For: a client that knows nothing but `/openapi.json`, and an organizer's whole way with it.
//! Not for: single routes and their problems; those are in `api`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::api::serve;
use crate::stage::Stage;
use crate::support::{Served, exec, write_file};

/// A client made from the description of the API.
struct Described<'a> {
    served: &'a Served,
    document: Value,
    /// Method and path of each operation.
    places: BTreeMap<String, (String, String)>,
}

impl<'a> Described<'a> {
    fn new(served: &'a Served) -> Self {
        let document = served.get("/openapi.json").expect(200).json();
        let mut places = BTreeMap::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let name = operation["operationId"].as_str().unwrap().to_owned();
                let twice = places.insert(name.clone(), (method.clone(), path.clone()));
                assert_eq!(twice, None, "{name} is there twice");
            }
        }
        Self { served, document, places }
    }

    /// Calls an operation with values for its parameters and its body, waits for what it takes, and
    /// returns what came of it.
    #[track_caller]
    fn ask(&self, operation: &str, values: Value) -> Value {
        let Value::Object(mut values) = values else { panic!("no object: {values}") };
        let (method, path) = self.places.get(operation).unwrap_or_else(|| panic!("{operation}?"));
        let described = &self.document["paths"][path][method];
        let (mut path, mut query) = (path.clone(), Vec::new());
        for parameter in described["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let Some(value) = values.remove(name) else {
                assert_ne!(parameter["required"], true, "{operation} needs {name}");
                continue;
            };
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            match parameter["in"].as_str().unwrap() {
                "path" => path = path.replace(&format!("{{{name}}}"), &value),
                _ => query.push(format!("{name}={value}")),
            }
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        let method = method.to_uppercase();
        let body = &described["requestBody"]["content"]["application/json"]["schema"];
        let answer = if body.is_null() {
            assert_eq!(values, Map::new(), "{operation} has no place for it");
            self.served.send(&method, &path, "", "")
        } else {
            let body = Value::Object(values);
            self.fits(&described["requestBody"]["content"]["application/json"]["schema"], &body);
            self.served.call(&method, &path, &body)
        };
        let said = &described["responses"][answer.status.to_string()];
        assert!(said.is_object(), "{operation}: {answer:?} is not described");
        assert!(answer.status < 300, "{operation}: {answer:?}");
        let schema = &said["content"]["application/json"]["schema"];
        if schema.is_null() {
            return Value::String(answer.body);
        }
        self.fits(schema, &answer.json());
        if answer.status != 202 {
            return answer.json();
        }
        let id = &answer.json()["id"];
        loop {
            let work = self.ask("operations_show", json!({"id": id, "wait": 30}));
            if !["queued", "running"].map(Value::from).contains(&work["state"]) {
                assert_eq!(work["state"], "succeeded", "{work}");
                return work;
            }
        }
    }

    /// What a reference leads to; the schema itself where it is none.
    fn resolved<'s>(&'s self, schema: &'s Value) -> &'s Value {
        let Some(name) = schema["$ref"].as_str() else { return schema };
        let name = name.strip_prefix("#/components/schemas/").unwrap();
        self.resolved(&self.document["components"]["schemas"][name])
    }

    /// Compares a value with its description: what has to be there, what may, and their types.
    #[track_caller]
    fn fits(&self, schema: &Value, value: &Value) {
        let schema = self.resolved(schema);
        if let Some(parts) = schema["allOf"].as_array() {
            let mut whole = json!({"type": "object", "properties": {}, "required": []});
            for part in parts {
                let part = self.resolved(part);
                let properties = part["properties"].as_object().cloned().unwrap_or_default();
                whole["properties"].as_object_mut().unwrap().extend(properties);
                let required = part["required"].as_array().cloned().unwrap_or_default();
                whole["required"].as_array_mut().unwrap().extend(required);
            }
            return self.fits(&whole, value);
        }
        for key in ["oneOf", "anyOf"] {
            if let Some(choices) = schema[key].as_array() {
                let null = choices.iter().any(|choice| choice["type"] == "null");
                if null && value.is_null() {
                    return;
                }
                let real = choices.iter().find(|choice| choice["type"] != "null").unwrap();
                return self.fits(real, value);
            }
        }
        let types = match &schema["type"] {
            Value::String(one) => vec![one.as_str()],
            many => many.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
        };
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let number = is == "integer" && types.contains(&"number");
        assert!(types.is_empty() || types.contains(&is) || number, "{value} is no {schema}");
        for item in value.as_array().into_iter().flatten() {
            self.fits(&schema["items"], item);
        }
        let Some(object) = value.as_object() else { return };
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(object.contains_key(name.as_str().unwrap()), "{name} is missing in {value}");
        }
        for (name, value) in object {
            let property = &schema["properties"][name];
            let other = &schema["additionalProperties"];
            assert!(property.is_object() || other.is_object(), "{name} is not described: {schema}");
            self.fits(if property.is_object() { property } else { other }, value);
        }
    }
}

#[test]
fn an_event_is_run_by_whoever_has_the_description_of_the_api_alone() {
    let stage = Stage::new("");
    let served = serve(&stage);
    let api = Described::new(&served);
    for group in ["night-owls", "beta"] {
        api.ask("groups_create", json!({"name": group, "title": "A team"}));
    }
    for name in ["ada", "bob"] {
        api.ask("users_create", json!({"group": "night-owls", "username": name}));
    }
    let both = json!({"instance_ids": ["night-owls_ada", "night-owls_bob"]});
    let launched = api.ask("instances_bulk_launch", both);
    assert_eq!(launched["results"].as_array().unwrap().len(), 2, "{launched}");

    let show = |id: &str| api.ask("instances_show", json!({"id": id}));
    let running = api.ask("instances_list", json!({"state": "Running", "page_size": 10}));
    assert_eq!(running["total"], 2, "{running}");
    let ada = show("night-owls_ada");
    assert_eq!(ada["health"], "healthy", "{ada}");
    let web = stage.web();
    assert_eq!(web.get(&format!("{}healthz", ada["url"].as_str().unwrap())).status, 200);
    assert!(!ada["password"].as_str().unwrap().is_empty());

    let bob = || json!({"id": "night-owls_bob"});
    for (action, then) in [("pause", "Paused"), ("resume", "Running"), ("restart", "Running")] {
        api.ask(&format!("instances_{action}"), bob());
        assert_eq!(show("night-owls_bob")["state"], then);
    }
    let log = api.ask("instances_logs", bob());
    assert!(log["lines"].to_string().contains("listening"), "{log}");
    api.ask("instances_stop", bob());
    assert_eq!(show("night-owls_bob")["state"], "Terminated");
    let loads = api.ask("server_load", json!({"id": "night-owls_ada"}));
    assert!(loads["host"]["memory_total"].as_u64().unwrap() > 0, "{loads}");

    write_file(&stage.container_name("night-owls/ada"), "/workspace/plan.txt", "the plan");
    let to = json!({"id": "night-owls_ada", "group": "beta", "username": "ada"});
    api.ask("users_relocate", to);
    let moved = show("beta_ada");
    assert_eq!((&moved["state"], &moved["password"]), (&json!("Running"), &ada["password"]));
    assert_eq!(exec(&stage.container_name("beta/ada"), &["cat", "plan.txt"]), "the plan");

    let places = api.ask("workspaces_list", json!({"sizes": true}));
    assert_eq!(places["workspaces"].as_array().unwrap().len(), 2, "{places}");
    let left = api.ask("groups_remove", json!({"group": "night-owls"}));
    assert!(left.to_string().contains("night-owls_bob"), "{left}");
    api.ask("users_stop", json!({"id": "beta_ada"}));
    assert_eq!(api.ask("users_list", json!({}))["total"], 1);
}
